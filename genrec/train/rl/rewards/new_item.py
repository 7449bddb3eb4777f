"""A bonus for relevant items that few have met: exploration without leaving the subject.

In the spirit of count-based exploration bonuses (Bellemare et al. 2016, arXiv 1606.01868; MBIE-EB, Strehl & Littman
2008: bonus proportional to 1 / sqrt(count)), restricted to items near the target, because a bonus for novelty alone
pays for anything unpopular.

Relevant: the candidate shares at least `min_levels` leading codes of its semantic id with the target, as the target
itself does. Little history: at most `max_count` training events.
"""

from dataclasses import dataclass

import torch

from genrec.train.rl.reward_context import RewardContext
from genrec.variants import setting

PAYS_FOR = ("new_items",)


@dataclass(frozen=True)
class Config:
    bonus: float = setting(0.2, "Reward of a relevant item without any training event.", gt=0, le=10)
    max_count: int = setting(5, "An item with more training events than this is not new.", ge=0)
    min_levels: int = setting(
        2, "Leading codes a candidate must share with the target to be relevant (at most all of them).", ge=1, le=16
    )


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Count-based bonus of relevant items.

    candidates: int64[B, G] items, -1 where there is none (bonus 0). target: int64[B] items.
    Returns float32[B, G]: r_i = bonus / sqrt(1 + n_i) for a relevant item with n_i <= max_count training events,
    else 0.
    """
    present = candidates >= 0
    items = candidates.clamp(min=0)
    levels = min(options.min_levels, context.sids.shape[1])
    relevant = (context.sids[items, :levels] == context.sids[target, None, :levels]).all(dim=-1)
    count = context.train_counts[items]
    earns = present & relevant & (count <= options.max_count)
    return torch.where(earns, options.bonus / (1.0 + count.float()).sqrt(), 0.0)


def note(context: RewardContext, options: Config) -> str | None:
    """Why the data leaves this reward without effect."""
    if (context.train_counts <= options.max_count).any():
        return None
    return f"every item has more than {options.max_count} training events, so it is 0 for every candidate"
