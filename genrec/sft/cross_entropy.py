"""Plain cross-entropy of the next item's codes."""

import torch
from torch.nn import functional


def cross_entropy(logits: torch.Tensor, codes: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """-log p(code) of every target and level under that level's K codes.

    `logits` float32[T, L, K], `codes` int64[T, L]; returns float32[T, L] in nats. Label smoothing (Szegedy et al.
    2016) spreads its share evenly over the level's codes.
    """
    losses = functional.cross_entropy(
        logits.flatten(0, 1), codes.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view_as(codes)
