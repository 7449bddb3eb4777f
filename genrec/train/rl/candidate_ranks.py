"""Ranks of candidates, shared by the rewards that depend on them."""

from typing import Literal

import torch

# The setting `of` of a reward that charges ranks: see `paying`.
PAYING = (
    "Candidates that pay: all, the target alone, or the wrong ones alone. With grpo, options.scale_by_std true and "
    "no other term but exact_hit, a cost on the target alone is divided out again."
)


def ranks(candidates: torch.Tensor) -> torch.Tensor:
    """float32[G]: 1 for the first place of a group int64[B, G]."""
    return torch.arange(1, candidates.shape[1] + 1, device=candidates.device, dtype=torch.float32)


def paying(candidates: torch.Tensor, target: torch.Tensor, of: Literal["all", "hit", "wrong"]) -> torch.Tensor:
    """bool[B, G]: the candidates that are there and, by `of`, are all, the target int64[B], or not the target."""
    present = candidates >= 0
    if of == "all":
        return present
    hit = candidates == target[:, None]
    return present & (hit if of == "hit" else ~hit)
