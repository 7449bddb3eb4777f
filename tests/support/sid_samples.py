"""Vectors in clusters, and the files the sid stage reads."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.embed.vectors import write_item_vectors
from genrec.tables import SEQUENCES, write_table
from tests.support.embed_tiny import catalogue_of


def clustered(num_items, dim, num_clusters, seed, noise=0.2, with_labels=False, even=False):
    """float32 [num_items, dim]: normal points around normal centers; with_labels adds int [num_items].

    The clusters have random sizes, or the same where `even`.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_clusters, num_items)
    if even:
        labels = rng.permutation(np.arange(num_items) % num_clusters)
    vectors = rng.normal(size=(num_clusters, dim))[labels] + noise * rng.normal(size=(num_items, dim))
    vectors = vectors.astype(np.float32)
    return (vectors, labels) if with_labels else vectors


def write_inputs(folder: Path, vectors: np.ndarray) -> tuple[Path, Path]:
    """vectors.parquet and catalogue.parquet of as many items."""
    write_item_vectors(vectors, folder / "vectors.parquet")
    rows = [{"title": f"Item {i}", "categories": ["Things"]} for i in range(len(vectors))]
    pq.write_table(catalogue_of(rows), folder / "catalogue.parquet")
    return folder / "vectors.parquet", folder / "catalogue.parquet"


def write_train(folder: Path, sequences: list[list[int]]) -> Path:
    """train.parquet of these sequences, one a user."""
    rows = len(sequences)
    table = pa.table(
        {
            "user": pa.array(range(rows), pa.int32()),
            "user_id": [f"u{i}" for i in range(rows)],
            "items": pa.array(sequences, pa.list_(pa.int32())),
            "events": [["click"] * len(s) for s in sequences],
            "timestamps": pa.array([list(range(len(s))) for s in sequences], pa.list_(pa.int64())),
        }
    )
    write_table(table, folder / "train.parquet", SEQUENCES)
    return folder / "train.parquet"
