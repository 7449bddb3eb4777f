"""Losses of supervised fine-tuning.

A loss is one module of this package with a `Config` and a function

    loss(logits float32[T, L, K], codes int64[T, L], options) -> float32[T, L], in nats, differentiable

T targets, L levels, K codes.
"""

PACKAGE = "genrec.train.sft.losses"
