"""A hit is worth what the customer did with the item: a purchase more than a click; a repeat costs.

The usual hierarchy of implicit feedback, in which behaviours closer to a sale weigh more (multi-behaviour
recommendation; for instance Chen et al., AAAI 2020, Efficient Heterogeneous Collaborative Filtering). Event types come from the training data; where it names neither clicks nor purchases,
every hit earns `other` and the stage's summary says so.

A repeat is a candidate that the history holds and that was not taken again. Search leaves items of the history out
unless `rl.rollout.seen_items` is keep, so only then is there anything to pay for.
"""

from dataclasses import dataclass

import torch

from genrec.train.rl.reward_context import RewardContext
from genrec.variants import setting

PAYS_FOR = ("hr", "purchases", "repeats")


@dataclass(frozen=True)
class Config:
    click: float = setting(1.0, "Reward of the target when it was clicked.", ge=-100, le=100)
    purchase: float = setting(3.0, "Reward of the target when it was purchased.", ge=-100, le=100)
    other: float = setting(1.0, "Reward of the target when the event is of another type, or unknown.", ge=-100, le=100)
    repeat: float = setting(
        -0.5, "Reward of another item the history holds; needs rl.rollout.seen_items: keep.", ge=-100, le=100
    )


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Value of what happened.

    candidates: int64[B, G] items, -1 where there is none. target: int64[B] items.
    Returns float32[B, G]: for the target the value of its event type, for another item of the history `repeat`,
    else 0.
    """
    hit = candidates == target[:, None]
    value = torch.full(target.shape, options.other, dtype=torch.float32, device=candidates.device)
    if context.target_event is not None:
        by_event = [_value(name, options) for name in context.event_names]
        value = torch.tensor(by_event, dtype=torch.float32, device=candidates.device)[context.target_event]
    result = torch.where(hit, value[:, None], 0.0)
    if context.history is not None:
        seen = (candidates.unsqueeze(-1) == context.history.unsqueeze(1)).any(dim=-1) & (candidates >= 0)
        result = torch.where(seen & ~hit, options.repeat, result)
    return result


def _value(event: str, options: Config) -> float:
    return {"click": options.click, "purchase": options.purchase}.get(event, options.other)


def note(context: RewardContext, options: Config) -> str | None:
    """Why the data leaves this reward without effect."""
    if {"click", "purchase"} & set(context.event_names):
        return None
    there = ", ".join(context.event_names) or "none"
    return f"the data names neither clicks nor purchases (event types: {there}), so every hit earns {options.other:g}"
