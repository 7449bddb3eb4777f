"""-0.15 log(rank): the lower a candidate stands in the list, the less it earns, in ever smaller steps.

A logarithmic position cost, the shape of DCG's discount (Jarvelin & Kekalainen, TOIS 2002) taken as a cost: the first
place is free, the sixteenth costs 0.42, so that a hit of 1 stays worth finding anywhere in a group of usual size.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from genrec.train.rl import candidate_ranks
from genrec.train.rl.reward_context import RewardContext
from genrec.variants import setting

PAYS_FOR = ("ndcg",)


@dataclass(frozen=True)
class Config:
    scale: float = setting(
        0.15, "Factor of the natural logarithm of the rank; the first candidate has rank 1.", gt=0, le=10
    )
    of: Literal["all", "hit", "wrong"] = setting("all", candidate_ranks.PAYING)


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Logarithmic rank cost.

    candidates: int64[B, G] items, best first, -1 where there is none (cost 0). target: int64[B] items.
    Returns float32[B, G]: r_i = -scale * ln(i) for the candidate of rank i = 1..G that pays, else 0.
    """
    rank = candidate_ranks.ranks(candidates)
    return torch.where(candidate_ranks.paying(candidates, target, options.of), -options.scale * rank.log(), 0.0)
