"""What the reward of a run pays for lists of validation users.

The terms are those of training; what they are told of a prompt comes from valid.parquet: its target, the target's event
and, where the same user has the next events there too, what followed. Under leave-one-out nothing is known after the
target, so that a term which pays for later items pays for none.
"""

from pathlib import Path

import numpy as np
import torch

from genrec.tables import TARGETS, numbered, read_table
from genrec.train.rl.reward_context import RewardContext
from genrec.train.rl.rewarding import Term, labels, num_following, term_rewards
from genrec.train.validation import CUTOFF, Validation

_ROWS = 512  # lists rewarded at once


class ValidRewards:
    """Rewards of lists for the rows of a validation, U of them; T terms."""

    def __init__(self, targets: Path, validation: Validation, terms: tuple[Term, ...], context: RewardContext) -> None:
        """`targets` is valid.parquet; `terms` and `context` are those of training, the terms prepared."""
        table = read_table(targets, TARGETS, columns=["user", "history_length", "target", "target_event"])
        users, lengths, items = (table[n].to_numpy() for n in ("user", "history_length", "target"))
        codes, names = numbered(table["target_event"].combine_chunks())
        known = list(dict.fromkeys([*context.event_names, *names]))  # training may lack an event type of validation
        number = np.array([known.index(name) for name in names], dtype=np.int64)
        rows = validation.rows
        self.event_names, self.events = tuple(known), number[codes[rows]] if len(names) else np.empty(0, np.int64)
        wanted = num_following(terms)
        self.following, self.following_events = (
            following(users, lengths, column, wanted)[rows] if wanted else None for column in (items, number[codes])
        )
        self.validation, self.terms = validation, terms
        self.context = context._replace(event_names=self.event_names, from_training=False)

    @property
    def labels(self) -> list[str]:
        return labels(self.terms)

    def __call__(self, items: np.ndarray) -> np.ndarray:
        """Weighted reward of each term a listed item, mean over the first 10 of each list: float64[U, T].

        items: int64[U, W], best first, -1 where there is none; 0 for an empty list.
        """
        parts = [np.empty((0, len(self.terms)))]
        parts += [self._part(items, slice(start, start + _ROWS)) for start in range(0, len(items), _ROWS)]
        return np.concatenate(parts)

    def _part(self, items: np.ndarray, rows: slice) -> np.ndarray:
        device, valid = self.context.sids.device, self.validation
        following, events = (None if a is None else a[rows] for a in (self.following, self.following_events))
        context = self.context.for_prompts(valid.histories[rows], self.events[rows], following, events)
        listed = torch.from_numpy(items[rows, :CUTOFF].astype(np.int64)).to(device)
        target = torch.from_numpy(valid.targets[rows].astype(np.int64)).to(device)
        count = (listed >= 0).sum(dim=1).clamp(min=1)
        return (term_rewards(self.terms, listed, target, context).double().sum(dim=2) / count).T.cpu().numpy()


def following(users: np.ndarray, lengths: np.ndarray, values: np.ndarray, num: int) -> np.ndarray:
    """The value of each of n rows (its target, or the target's event) and those of the user's next events, as far as
    other rows hold them without a gap: int64[n, num], then -1. `users` and `lengths` (events before the target) are
    columns [n] of valid.parquet.
    """
    order = np.lexsort((lengths, users))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    steps = np.arange(num)
    after = place[:, None] + steps
    rows = order[np.minimum(after, len(order) - 1)]
    joined = (users[rows] == users[:, None]) & (lengths[rows] == lengths[:, None] + steps) & (after < len(order))
    return np.where(np.logical_and.accumulate(joined, axis=1), values[rows], -1).astype(np.int64)
