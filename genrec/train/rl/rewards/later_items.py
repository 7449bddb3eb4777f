"""Credit for items that the customer took later on in the training sequence.

The next item is one draw of what a customer wanted at that time; what follows soon after would have served as well. In
the spirit of the dense all-action loss of PinnerFormer (Pancha et al. 2022, arXiv 2205.04507, section 3.3), which
predicts a window of later actions instead of the next one, and of the discounted return of sequential recommendation by
Q-learning (Xin et al. 2020, arXiv 2006.05779).
"""

from dataclasses import dataclass

import torch

from genrec.train.rl.reward_context import RewardContext
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    discount: float = setting(
        0.5, "Credit of the item after the target; each place further multiplies it by this.", gt=0, lt=1
    )
    horizon: int = setting(7, "Items after the target that earn something.", ge=1, le=1000)


def num_following(options: Config) -> int:
    """Items of the training sequence, from the target on, that have to travel with a prompt."""
    return options.horizon + 1


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Discounted by how much later an item was taken.

    candidates: int64[B, G] items, -1 where there is none (credit 0). target: int64[B] items, not used.
    Returns float32[B, G]: r_i = discount ** j if candidate i came j places after the target (1 <= j <= horizon; of
    several places the first), else 0.
    """
    values = torch.zeros(candidates.shape, device=candidates.device)
    if context.following is None:
        return values
    for place in range(min(options.horizon, context.following.shape[1] - 1), 0, -1):
        taken = (candidates == context.following[:, place, None]) & (candidates >= 0)
        values = torch.where(taken, options.discount**place, values)
    return values


def note(context: RewardContext, options: Config) -> str | None:
    """Why the data leaves this reward without effect."""
    if context.sequences is None or (context.sequences.offsets.diff() > 2).any():
        return None
    return "no training sequence is longer than two items, so it is 0 for every candidate"
