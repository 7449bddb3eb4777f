"""Cross-entropy of the next item's codes, plain or with label smoothing."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Settings of the loss."""

    label_smoothing: float = setting(
        0.0, "Share of the target that goes evenly to all codes of the level (Szegedy et al. 2016).", ge=0, lt=1
    )


def loss(logits: torch.Tensor, codes: torch.Tensor, options: Config) -> torch.Tensor:
    """-log p(code) of every target and level under that level's K codes."""
    flat = functional.cross_entropy(
        logits.flatten(0, 1), codes.flatten(), reduction="none", label_smoothing=options.label_smoothing
    )
    return flat.view_as(codes)
