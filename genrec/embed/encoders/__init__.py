"""Encoders: each module turns item texts into vectors, or (`ready`) reads vectors by item id. No other modules here.

A module has `Config` and either `vectors_of_items(item_ids, options)`, or SHARDABLE and

    encode(texts, options, *, batch_tokens, device=None, progress=silent) -> float32 [len(texts), d]

An encoder that is fitted on the catalogue has also `fit(texts, options, progress) -> (vectors, model or None)`, a class
`Model` with `save(folder)`, `load(folder)` and `encode(texts)`, and the names of the files it saves: MODEL_FILE,
TERMS_FILE.
"""

PACKAGE = "genrec.embed.encoders"
