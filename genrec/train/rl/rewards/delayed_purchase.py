"""Credit for items that the customer bought within the next events: a purchase that comes late is paid too.

What a list leads to is often bought some events later, not at once (delayed feedback; Chapelle 2014, Modeling Delayed
Feedback in Display Advertising, KDD). As in the discounted return of sequential recommendation by Q-learning, in which a
purchase is worth more than a click (Xin et al. 2020, arXiv 2006.05779), a purchase counts less the later it comes. The
target's own event is not looked at (see `behaviour`); a target that is bought again later on earns as others do.
"""

from dataclasses import dataclass

import torch

from genrec.train.rl.reward_context import RewardContext
from genrec.variants import setting

PAYS_FOR = ("purchases",)
_PURCHASE = "purchase"  # the event type


@dataclass(frozen=True)
class Config:
    purchase: float = setting(
        1.0, "Value of a purchase; one that comes j events after the target earns discount ** j of it.", gt=0, le=100
    )
    discount: float = setting(0.5, "Share of the value that each event of delay leaves.", gt=0, lt=1)
    horizon: int = setting(5, "Events after the target that are looked at.", ge=1, le=1000)


def num_following(options: Config) -> int:
    """Items of the training sequence, from the target on, that have to travel with a prompt."""
    return options.horizon + 1


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Discounted by how much later an item was bought.

    candidates: int64[B, G] items, -1 where there is none (credit 0). target: int64[B] items, not used.
    Returns float32[B, G]: r_i = purchase * discount ** j if candidate i was bought j events after the target
    (1 <= j <= horizon; of several purchases the first), else 0; 0 for all where purchases are not known.
    """
    values = torch.zeros(candidates.shape, device=candidates.device)
    if context.following is None or context.following_event is None or _PURCHASE not in context.event_names:
        return values
    purchased = context.following_event == context.event_names.index(_PURCHASE)
    for place in range(min(options.horizon, context.following.shape[1] - 1), 0, -1):
        bought = (candidates == context.following[:, place, None]) & purchased[:, place, None] & (candidates >= 0)
        values = torch.where(bought, options.purchase * options.discount**place, values)
    return values


def note(context: RewardContext, options: Config) -> str | None:
    """Why the data leaves this reward without effect."""
    if _PURCHASE in context.event_names:
        return None
    there = ", ".join(context.event_names) or "none"
    return f"the data names no purchases (event types: {there}), so it is 0 for every candidate"
