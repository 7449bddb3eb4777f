"""Partial credit for the levels of the target's semantic id that a candidate gets right from the start.

Levels are ordered coarse to fine (residual quantisation; TIGER, arXiv 2305.05065, section 3.1), so a shared prefix
means a similar item. The signal is dense where exact hits are rare. Keep the weight small: it pays for near misses.
"""

from dataclasses import dataclass

import torch

from genrec.train.rl.reward_context import RewardContext
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    share: float = setting(0.2, "Credit of the full semantic id; l of L leading levels earn l/L of it.", gt=0, le=1)


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Share of the semantic id that is right before the first wrong code.

    candidates: int64[B, G] items, -1 where there is none (credit 0). target: int64[B] items.
    Returns float32[B, G]: r_i = share * (length of the common prefix of the two semantic ids) / L.
    """
    present = candidates >= 0
    same = context.sids[candidates.clamp(min=0)] == context.sids[target][:, None, :]  # [B, G, L]
    prefix_length = same.long().cumprod(dim=-1).sum(dim=-1)
    return torch.where(present, options.share * prefix_length.float() / same.shape[-1], 0.0)
