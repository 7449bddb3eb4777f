"""Encoders: each module turns item texts into vectors, or (`ready`) reads vectors by item id. No other modules here.

A module has `Config` and either `vectors_of_items(item_ids, options)`, or SHARDABLE and

    encode(texts, options, *, batch_tokens, device=None, progress=silent) -> float32 [len(texts), d]

SHARDABLE: a vector depends on its own text alone, so that the texts may be encoded in pieces, anywhere. One that loads
something large has a class `Encoder(options, device)` with `encode(texts, batch_tokens=..., progress=...)`, which is made
once for all pieces of a worker.

An encoder that is fitted on the catalogue has also `fit(texts, options, progress) -> (vectors, model or None)`, a class
`Model` with `save(folder)`, `load(folder)` and `encode(texts)`, and the names of the files it saves: MODEL_FILE,
TERMS_FILE. With `sample(num_texts, options)` (numbers of texts, or None), `fit_sample(texts, num_texts, options, progress)`
and `save_sampled(model, folder)` a large catalogue is encoded in pieces by a model that was fitted on the sample.
"""

PACKAGE = "genrec.embed.encoders"
