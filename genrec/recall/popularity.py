"""Popularity: every user gets the items with the most training events."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.recall.parts.channel import Channel
from genrec.recall.parts.index_files import State
from genrec.recall.parts.ranking import top_k
from genrec.recall.parts.scorer import History, Training, flatten, items_of_one


@dataclass(frozen=True)
class Config:
    """Popularity has no settings."""


class Popularity(Channel):
    """Scores are training counts, the same for every history."""

    needs_history = False
    known: NDArray[np.bool_]

    def __init__(self, counts: NDArray[np.float32]) -> None:
        self.counts = counts  # float32 [num_items]
        self.num_items, self.known = len(counts), counts > 0

    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, num_items]: training events of each item."""
        return np.repeat(self.counts[None], len(histories), axis=0)

    def best(self, histories: Sequence[History], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(items int32 [b, n], scores float32 [b, n]): the n items with the most training events, for every history."""
        items, counts = top_k(self.counts[None], n)
        return np.repeat(items, len(histories), axis=0), np.repeat(counts, len(histories), axis=0)

    def _top(
        self, histories: Sequence[History], n: int, banned: Sequence[History] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        items = np.full((len(histories), n), -1, dtype=np.int32)
        for row in range(len(histories)):
            first = self._order[:n]
            if banned is not None and len(banned[row]):
                out = np.zeros(self.num_items, dtype=bool)
                out[items_of_one(banned[row], self.num_items)] = True
                first = self._order[: n + len(banned[row])]
                first = first[~out[first]]
            items[row, : min(n, len(first))] = first[:n]
        return items, np.where(items < 0, -np.inf, self.counts[items]).astype(np.float32)

    @functools.cached_property
    def _order(self) -> NDArray[np.int64]:
        """int64 [n]: items with a count, the largest first, of equals the first."""
        listed = np.flatnonzero(self.known)
        return listed[np.argsort(-self.counts[listed], kind="stable")]

    def state(self) -> State:
        """The counts."""
        return {"counts": self.counts}, {}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "Popularity":
        """The channel that has this state."""
        return cls(arrays["counts"])


load = Popularity.load


def fit(data: Training, options: Config) -> Popularity:
    """Count the training events of each item."""
    _, items = flatten(data.sequences, data.num_items)
    return Popularity(np.bincount(items, minlength=data.num_items).astype(np.float32))
