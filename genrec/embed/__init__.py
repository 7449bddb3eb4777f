"""Item texts to vectors: texts, encoders (variants), the steps of the stage, vectors.parquet, reuse of an artifact."""
