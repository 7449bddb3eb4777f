"""What every baseline gives back, and the sparse matrices they are made of.

A variant module has `Config` and

    fit(sequences: list[int32 [len]], num_items: int, options: Config) -> Scorer

where `sequences` are the TRAINING items of each user, oldest first. Validation and test events are never passed to
`fit`; they reach a scorer only as the history of a later prediction.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.errors import DataError

History = NDArray[np.int32] | Sequence[int]


class Scorer(Protocol):
    """A fitted baseline."""

    num_items: int

    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """A fresh float32 array [len(histories), num_items]; higher is better, finite everywhere."""
        ...


def flatten(sequences: Sequence[History], num_items: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ragged sequences as (row int64 [E], item int64 [E]) in order. Raises DataError for an item outside 0..num_items-1."""
    lengths = np.fromiter((len(s) for s in sequences), dtype=np.int64, count=len(sequences))
    rows = np.repeat(np.arange(len(sequences)), lengths)
    parts = [np.asarray(s, dtype=np.int64) for s in sequences if len(s)]
    items = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    outside = (items < 0) | (items >= num_items)
    if outside.any():
        at = int(np.argmax(outside))
        raise DataError(f"sequence {rows[at]} holds item {items[at]}; the catalogue has items 0 to {num_items - 1}")
    return rows, items


def positions(rows: NDArray[np.int64], num_rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For flattened sequences: (position from the oldest, age from the newest), both int64 [E], 0-based."""
    lengths = np.bincount(rows, minlength=num_rows)
    starts = np.cumsum(lengths) - lengths
    position = np.arange(len(rows)) - starts[rows]
    return position, lengths[rows] - 1 - position


def incidence(sequences: Sequence[History], num_items: int) -> sp.csr_array:
    """Binary user-item matrix, float32 [U, num_items]: repeats of an item count once."""
    rows, items = flatten(sequences, num_items)
    matrix = sp.csr_array((np.ones(len(rows), np.float32), (rows, items)), shape=(len(sequences), num_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def history_weights(histories: Sequence[History], num_items: int, decay: float) -> sp.csr_array:
    """float32 [b, num_items]: decay ** age of each history item (0 is the newest); repeats add up."""
    rows, items = flatten(histories, num_items)
    _, age = positions(rows, len(histories))
    weights = np.power(np.float64(decay), age).astype(np.float32)
    return sp.csr_array((weights, (rows, items)), shape=(len(histories), num_items))


class ItemGraph:
    """Scorer that adds up rows of an item-item matrix, weighted by how recent each history item is."""

    def __init__(self, weights: sp.csr_array, decay: float) -> None:
        self.weights = weights  # float32 [num_items, num_items]; row = history item, column = candidate
        self.decay = decay
        self.num_items = weights.shape[0]

    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, num_items]: sum over the history of decay ** age * weights[item]."""
        dense = (history_weights(histories, self.num_items, self.decay) @ self.weights).toarray()
        return dense.astype(np.float32, copy=False)
