"""The optimizer of fine-tuning and its learning-rate schedule."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from genrec.train.sft.touched_rows import RowAdamW, RunGradients

if TYPE_CHECKING:
    from genrec.config import SftConfig


def make_optimizer(
    parameters: dict[str, nn.Parameter], config: "SftConfig", by_rows: RunGradients | None = None
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with weight decay on matrices; norms and biases are not decayed.

    `by_rows`, unless None: some gradients are of rows, which alone are updated, those of `by_rows` kept apart
    (`touched_rows`).

    `paged_adamw_8bit` keeps its moments in 8 bits a weight (blockwise; Dettmers et al. 2022, 8-bit Optimizers) and, on a
    GPU, in pages that move to the host when memory is short (Dettmers et al. 2023, QLoRA, section 3).
    """
    decayed = [p for p in parameters.values() if p.ndim >= 2]
    plain = [p for p in parameters.values() if p.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "paged_adamw_8bit":
        from bitsandbytes.optim import AdamW8bit, PagedAdamW8bit

        on_cpu = all(p.device.type == "cpu" for p in parameters.values())  # nothing to page there
        return (AdamW8bit if on_cpu else PagedAdamW8bit)(groups, lr=config.learning_rate, betas=(0.9, 0.98))
    if by_rows is not None:
        return RowAdamW(groups, apart=by_rows, lr=config.learning_rate, betas=(0.9, 0.98))
    fused = all(p.device.type == "cuda" for p in parameters.values()) or None  # None: as torch has it elsewhere
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=fused)


def learning_rate(step: int, total: int, config: "SftConfig") -> float:
    """The rate of optimizer step `step` (0-based) of `total`: linear warm-up, then a half cosine to the minimum."""
    warmup = math.ceil(config.warmup_share * total)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    low = min(config.min_learning_rate, config.learning_rate)
    share = (step - warmup) / max(1, total - 1 - warmup)
    return low + (config.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
