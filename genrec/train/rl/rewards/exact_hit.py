"""1 for the target, 0 for everything else.

The rule reward of MiniOneRec (arXiv 2510.24431); with beam-searched negatives its group-normalised form optimises
a partial AUC (arXiv 2604.22504).
"""

from dataclasses import dataclass

import torch

from genrec.train.rl.reward_context import RewardContext

PAYS_FOR = ("hr",)


@dataclass(frozen=True)
class Config:
    """No settings."""


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Binary hit.

    candidates: int64[B, G] items, best first, -1 where there is none. target: int64[B] items.
    Returns float32[B, G]: r_i = 1 if candidate i is the target, else 0.
    """
    return (candidates == target[:, None]).float()
