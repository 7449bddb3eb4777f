"""Losses of supervised fine-tuning.

A loss is one module of this package with a `Config` and a function

    loss(logits float32[T, L, K], codes int64[T, L], options) -> float32[T, L], in nats, differentiable

T targets, L levels, K codes. A logit of -inf rules a code out (no item has it behind the target's prefix); it is never
that of the target. Loss and gradients are finite all the same. Optional function:

    target_weights(counts int64[N], options) -> float32[N]: what a target of each item counts beside the others, given
        the training events of the items; it multiplies the sampler's
"""

PACKAGE = "genrec.train.sft.losses"
