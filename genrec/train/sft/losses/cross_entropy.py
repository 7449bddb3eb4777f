"""Cross-entropy of the next item's codes, plain or with label smoothing."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Settings of the loss."""

    label_smoothing: float = setting(
        0.1,
        "Share of the target that goes evenly to all codes that can follow (Szegedy et al. 2016).",
        ge=0,
        lt=1,
    )


def loss(logits: torch.Tensor, codes: torch.Tensor, options: Config) -> torch.Tensor:
    """-log p(code) of every target and level under that level's K codes.

    The smoothed share is the mean of -log p over the codes whose logit is finite.
    """
    plain = functional.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes)
    if not options.label_smoothing:
        return plain
    possible = logits.isfinite()
    log_p = logits.log_softmax(-1).masked_fill(~possible, 0.0)
    spread = -log_p.sum(-1) / possible.sum(-1)
    return (1 - options.label_smoothing) * plain + options.label_smoothing * spread
