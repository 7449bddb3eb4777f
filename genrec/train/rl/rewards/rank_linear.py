"""-0.1 a rank: the lower a candidate stands in the list, the less it earns, in equal steps.

The position discount of ranking metrics (`rank_penalty`, `rank_log`) in its simplest form, straight. From rank 11 on
it outweighs an `exact_hit` of 1: in groups larger than 10, `rank_log`, which grows slower, or a smaller step keeps a
late hit worth finding.
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
    step: float = setting(0.1, "Cost of a rank; the first candidate has rank 1.", gt=0, le=10)
    of: Literal["all", "hit", "wrong"] = setting("all", candidate_ranks.PAYING)


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Linear rank cost.

    candidates: int64[B, G] items, best first, -1 where there is none (cost 0). target: int64[B] items.
    Returns float32[B, G]: r_i = -step * i for the candidate of rank i = 1..G that pays, else 0.
    """
    rank = candidate_ranks.ranks(candidates)
    return torch.where(candidate_ranks.paying(candidates, target, options.of), -options.step * rank, 0.0)
