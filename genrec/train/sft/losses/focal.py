"""Focal loss: codes the model is already sure of count less (Lin et al. 2017, Focal Loss for Dense Object Detection).

With `frequency_power` frequent items count less as well: the alpha of the paper's equation 5, set by inverse frequency
(its section 3.1). Power 0.5, the inverse square root, is the usual compromise between all events alike (0) and all items
alike (1) (Mahajan et al. 2018, arXiv 1805.00932).
"""

from dataclasses import dataclass

import numpy as np
import torch

from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Settings of the loss."""

    gamma: float = setting(2.0, "Exponent of (1 - p); 0 is cross-entropy.", ge=0, le=10)
    frequency_power: float = setting(
        0.0,
        "A target with n training events weighs (n + 1)^-frequency_power, scaled to a mean of 1 over all targets; "
        "0: all alike.",
        ge=0,
        le=2,
    )


def loss(logits: torch.Tensor, codes: torch.Tensor, options: Config) -> torch.Tensor:
    """-(1 - p)^gamma log p of every target and level, p being that of the code under its level's K codes."""
    log_p = logits.log_softmax(-1).gather(-1, codes.unsqueeze(-1)).squeeze(-1)
    # (1 - p)^gamma as exp(gamma log(1 - p)) has no gradient at p = 1; expm1 keeps 1 - p exact near it.
    return -(-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny).pow(options.gamma) * log_p


def target_weights(counts: np.ndarray, options: Config) -> np.ndarray:
    """float32[N]: (n + 1)^-frequency_power of items with n training events int64[N], their mean over the events 1."""
    weights = (counts + 1.0) ** -options.frequency_power
    events = counts.sum()
    return (weights * (events / (weights @ counts) if events else 1.0)).astype(np.float32)
