"""Prompts for reinforcement learning, cut from the training sequences only.

A sequence i_0 .. i_n is cut at a random place t: the history is i_0 .. i_(t-1), the target i_t. The target travels
with its prompt (equal histories of two users must not share one). Validation and test targets are not in these files.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from genrec.errors import DataError
from genrec.tables import SEQUENCES, numbered, read_table


class PromptSet(NamedTuple):
    """Prompts of one step, in order. `position` tells a worker that has some of them which they are."""

    position: np.ndarray  # int64[B], place in the step
    histories: list[np.ndarray]  # int64 items each, oldest first, not cut to max_history
    target: np.ndarray  # int64[B]
    target_event: np.ndarray | None = None  # int64[B], place in `PromptSource.event_names`
    following: np.ndarray | None = None  # int64[B, F], the target and the items after it, padded with -1
    following_event: np.ndarray | None = None  # int64[B, F], as target_event, of each of `following`

    def banned(self) -> list[np.ndarray]:
        """Items a recommendation list leaves out: those of the history, but never the target (repeat purchases)."""
        return [h[h != t] for h, t in zip(self.histories, self.target, strict=True)]

    def part(self, start: int, stop: int) -> "PromptSet":
        optional = (self.target_event, self.following, self.following_event)
        of_part = (None if field is None else field[start:stop] for field in optional)
        return PromptSet(self.position[start:stop], self.histories[start:stop], self.target[start:stop], *of_part)


class PromptSource:
    """Draws the prompts of any step as a pure function of (seed, step): nothing to save for a resume."""

    def __init__(self, sequences: Path, seed: int, num_following: int = 0) -> None:
        """sequences: train.parquet of the prepare stage. num_following: items from the target on that travel with a
        prompt, for a policy that counted transitions in these sequences and for rewards that look ahead.

        Raises DataError when no user has two training items.
        """
        table = read_table(sequences, SEQUENCES, columns=["items", "events"])
        column = table["items"].combine_chunks()
        offsets = column.offsets.to_numpy().astype(np.int64)
        self.items = column.values.to_numpy(zero_copy_only=False).astype(np.int64)
        self.events, names = numbered(table["events"].combine_chunks().values)
        self.event_names = tuple(names)
        self.sequences = (self.items, offsets)  # sequence i is items[offsets[i]:offsets[i + 1]]
        long_enough = np.diff(offsets) >= 2
        self.starts, self.lengths = offsets[:-1][long_enough], np.diff(offsets)[long_enough]
        self.seed, self.num_following = seed, num_following
        self._drawn: tuple[int, np.ndarray, np.ndarray] | None = None  # the epoch last drawn
        if not len(self.starts):
            raise DataError(f"{sequences.name}: no user has two training items, so there is no prompt to learn from")

    @property
    def num_users(self) -> int:
        return len(self.starts)

    def draw(self, step: int, num_prompts: int) -> PromptSet:
        """Prompts of a step (0-based): users in a new random order each epoch, one random cut a user and epoch."""
        turns = np.arange(step * num_prompts, (step + 1) * num_prompts)
        users, cuts = np.empty(num_prompts, np.int64), np.empty(num_prompts, np.int64)
        epochs = turns // self.num_users
        for epoch in np.unique(epochs):
            order, cut = self._epoch(int(epoch))
            here = epochs == epoch
            users[here] = order[turns[here] % self.num_users]
            cuts[here] = cut[users[here]]
        starts = self.starts[users]
        histories = [self.items[a:b] for a, b in zip(starts, starts + cuts, strict=True)]
        places = starts + cuts
        ends = starts + self.lengths[users]
        following = [self._following(a, places, ends) for a in (self.items, self.events)] if self.num_following else []
        return PromptSet(np.arange(num_prompts), histories, self.items[places], self.events[places], *following)

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of the users in an epoch and the cut of each, int64[U]; the last one asked for is kept: to draw it takes a
        second for ten million users, in every step of thousands.
        """
        if self._drawn is None or self._drawn[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._drawn = epoch, rng.permutation(self.num_users), rng.integers(1, self.lengths)
        return self._drawn[1:]

    def _following(self, values: np.ndarray, places: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Values int64[B, F] at `places` and after them, up to the `ends` of the sequences; -1 from there on."""
        after = places[:, None] + np.arange(self.num_following)
        return np.where(after < ends[:, None], values[np.minimum(after, len(values) - 1)], -1)
