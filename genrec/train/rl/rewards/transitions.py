"""Credit for what other customers took next: how strong the transitions from the history to a candidate are.

A hit says something about one item in thousands, and most groups hold none; how often an item followed those of
the history in training is known for every candidate. It is a relevance signal from logged behaviour, counted and not
learned, so that there is no model of it to fool (a reward from another recommender's scores is known to be gamed). The
table is that of `genrec.model.transitions`; directed transitions are a strong recommender themselves (arXiv 2605.07125).

The steps from a prompt's history to the items after it are subtracted from the table first: they hold the answer.
"""

from dataclasses import dataclass

import torch

from genrec.model.transitions import Transitions
from genrec.train.rl.reward_context import RewardContext
from genrec.variants import setting

_CELLS = 1 << 24  # of the table of scores at a time
_MAX_HISTORY = 64  # newest items; older ones weigh nothing at any usual decay


@dataclass(frozen=True)
class Config:
    credit: float = setting(
        0.9, "Reward of the item that the history leads to most strongly; others earn in proportion.", gt=0, le=10
    )
    window: int = setting(
        5,
        "Longest distance, in places, between an item and one that counts as following it, by 1 / distance.",
        ge=1,
        le=100,
    )
    decay: float = setting(0.6, "Weight of a history item is decay ** age.", gt=0, le=1)


def num_following(options: Config) -> int:
    """Items of the training sequence, from the target on, that have to travel with a prompt."""
    return options.window


def prepare(context: RewardContext, options: Config) -> Transitions | None:
    """The table, counted once from the training sequences; None where there are none."""
    if context.sequences is None:
        return None
    items, offsets = (t.numpy() for t in context.sequences)
    table = Transitions.count(items, offsets, len(context.sids), window=options.window, history_decay=options.decay)
    return table.to(context.sids.device)


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Relative strength of the transitions from the history.

    candidates: int64[B, G] items, -1 where there is none (credit 0). target: int64[B] items, not used.
    Returns float32[B, G]: r_i = credit * q_i / max_j q_j, where q_j is the sum over the items h of the history of
    decay ** age(h) times the weight of the step h -> j, and j any item outside of the history (one inside earns at most
    `credit`); 0 for all where nothing followed the history. Raises ValueError without the table of `prepare`.
    """
    table, history = context.prepared, context.history
    following = context.following if context.from_training else None  # else the table never held the steps to them
    values = torch.zeros(candidates.shape, device=candidates.device)
    if context.sequences is not None and table is None:
        raise ValueError("the transition table is missing; call prepare first")
    if table is None or history is None:
        return values
    history = history[:, -_MAX_HISTORY:]
    step = max(1, _CELLS // len(context.sids))
    for start in range(0, len(candidates), step):
        rows = slice(start, start + step)
        scores = table.scores(history[rows].flip(1), None if following is None else following[rows])
        earned = scores.gather(1, candidates[rows].clamp(min=0))
        scores = torch.cat([scores, scores.new_zeros(len(scores), 1)], dim=1)
        scores.scatter_(1, history[rows].where(history[rows] >= 0, scores.shape[1] - 1), 0.0)
        best = scores.amax(dim=1, keepdim=True)
        values[rows] = (options.credit * earned / best.clamp_min(torch.finfo(best.dtype).tiny)).clamp(
            max=options.credit
        )
    return torch.where(candidates >= 0, values, 0.0)


def note(context: RewardContext, options: Config) -> str | None:
    """Why the data leaves this reward without effect."""
    table = context.prepared
    if table is None or len(table.targets):
        return None
    return "no item followed another in training, so it is 0 for every candidate"
