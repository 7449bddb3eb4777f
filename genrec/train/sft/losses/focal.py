"""Focal loss: codes the model is already sure of count less (Lin et al. 2017, Focal Loss for Dense Object Detection)."""

from dataclasses import dataclass

import torch

from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Settings of the loss."""

    gamma: float = setting(2.0, "Exponent of (1 - p); 0 is cross-entropy.", ge=0, le=10)


def loss(logits: torch.Tensor, codes: torch.Tensor, options: Config) -> torch.Tensor:
    """-(1 - p)^gamma log p of every target and level, p being that of the code under its level's K codes."""
    log_p = logits.log_softmax(-1).gather(-1, codes.unsqueeze(-1)).squeeze(-1)
    # (1 - p)^gamma as exp(gamma log(1 - p)) has no gradient at p = 1; expm1 keeps 1 - p exact near it.
    return -(-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny).pow(options.gamma) * log_p
