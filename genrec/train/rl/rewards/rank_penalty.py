"""A wrong candidate costs more the higher it is ranked; the costs of a full group add up to less than 1.

The rank-aware reward of MiniOneRec (arXiv 2510.24431): hard negatives, those the model likes best, are pushed down
most. The discount is that of DCG.
"""

from dataclasses import dataclass

import torch

from genrec.train.rl.reward_context import RewardContext

PAYS_FOR = ("ndcg",)


@dataclass(frozen=True)
class Config:
    """No settings."""


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Normalised rank discount as a penalty.

    candidates: int64[B, G] items, best first, -1 where there is none. target: int64[B] items.
    Returns float32[B, G]. With d_i = 1 / log2(i + 2) at 0-based rank i: r_i = -d_i / sum_j d_j for a wrong candidate,
    0 for the target, and 0 for the whole group when the target is not in it (nothing tells which rank was right).
    """
    num_candidates = candidates.shape[1]
    discount = 1.0 / torch.log2(torch.arange(num_candidates, device=candidates.device, dtype=torch.float32) + 2.0)
    hit = candidates == target[:, None]
    wrong = ~hit & (candidates >= 0) & hit.any(dim=1, keepdim=True)
    return torch.where(wrong, -(discount / discount.sum()), 0.0)
