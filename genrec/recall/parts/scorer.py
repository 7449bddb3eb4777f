"""What a channel is fitted on and what it returns, and the sparse matrices they have in common.

A channel is a module of `genrec.recall` with `Config` and

    fit(data: Training, options: Config) -> Channel
    load(folder: Path) -> Channel, what `Channel.save` wrote there

where `data` holds the TRAINING items of each user. Test events are never passed to `fit`, validation events only for
early stopping; they reach a scorer as the history of a later prediction. A channel may also declare which of its options
are chosen on validation (`genrec.recall.parts.choice`). Heavy libraries (torch, gensim, implicit,
faiss) are imported inside `fit`, because checking a config imports every channel.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.recall.parts.side import Side

History = NDArray[np.integer] | Sequence[int]
_HISTORIES = 16  # whose items and weights are held
_HELD = 1 << 10  # lengths of histories, with a decay, whose weights are held


@dataclass(frozen=True)
class Held:
    """Validation rows: what a user had before, and the item that came next."""

    histories: Sequence[History]
    targets: NDArray[np.int32]


@dataclass(frozen=True)
class Training:
    """What a channel may learn from. Each takes what it needs and ignores the rest."""

    sequences: Sequence[History]  # one a user, oldest first
    num_items: int
    timestamps: Sequence[NDArray[np.integer]] | None = None  # as `sequences`; only their order counts
    vectors: NDArray[np.float32] | None = None  # [num_items, V], the embed stage's
    side: Side | None = None  # brands and categories of the items
    validation: Held | None = None  # to choose when to stop, never to learn from
    seed: int = 0
    progress: Progress = silent


class Scorer(Protocol):
    """A fitted channel."""

    num_items: int

    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """A fresh float32 array [len(histories), num_items]; higher is better, finite everywhere."""
        ...


def flatten(sequences: Sequence[History], num_items: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ragged sequences as (row, item), both int64 [E], in order. Raises DataError for an item outside 0..num_items-1."""
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
    """Of flattened sequences: (position from the oldest event, age from the newest), both int64 [E], from 0."""
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
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(histories)))])
    matrix = sp.csr_array((weights, items.astype(np.int32), starts.astype(np.int32)), shape=(len(histories), num_items))
    matrix.sum_duplicates()
    return matrix


def history_of_one(history: History, num_items: int, decay: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The row of `history_weights` of one history: (its items, ascending, their weights), both [n].

    Channels of one request ask for the same: those of the last few histories are held, and not to be written to.
    """
    return _held_of_one(np.asarray(history, dtype=np.int64).tobytes(), num_items, decay)


@functools.lru_cache(_HISTORIES)
def _held_of_one(history: bytes, num_items: int, decay: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    items = items_of_one(np.frombuffer(history, dtype=np.int64), num_items)
    order = np.argsort(items, kind="stable")
    items, weights = items[order], _weights_by_place(len(items), decay)[order]
    repeats = items[1:] == items[:-1]
    if repeats.any():
        first = np.concatenate([[0], np.flatnonzero(~repeats) + 1])
        items, weights = items[first], np.add.reduceat(weights, first)
    items.flags.writeable = weights.flags.writeable = False
    return items, weights


def items_of_one(history: History, num_items: int) -> NDArray[np.int64]:
    """The items of `flatten` of one sequence. Raises DataError as it does."""
    items = np.asarray(history, dtype=np.int64)
    if len(items) and items.view(np.uint64).max() >= num_items:  # a negative number is a large one too
        flatten([history], num_items)  # names the item
    return items


@functools.lru_cache(_HELD)
def _weights_by_place(length: int, decay: float) -> NDArray[np.float32]:
    """decay ** age of the items of a history, oldest first."""
    weights = np.power(np.float64(decay), np.arange(length - 1, -1, -1)).astype(np.float32)
    weights.flags.writeable = False
    return weights


def weighted_sum(
    histories: Sequence[History], num_items: int, decay: float, of_items: NDArray[np.floating]
) -> NDArray[np.floating]:
    """`history_weights` times what each item has, [num_items, V] -> [b, V]; of one history without making a matrix."""
    if len(histories) == 1:
        items, weights = history_of_one(histories[0], num_items, decay)
        return (weights @ of_items[items])[None]
    return history_weights(histories, num_items, decay) @ of_items


def unit_rows(matrix: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows divided by their Euclidean norm, float32; rows of zeros stay."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return (matrix / np.where(norms > 0, norms, 1)).astype(np.float32)


def rank_unknown_last(scores: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the items that are not `known` the lowest score of each row: their vectors were never trained."""
    unknown = np.flatnonzero(~known)
    if len(unknown) and scores.size:
        scores[:, unknown] = 0
        scores[:, unknown] = scores.min(axis=1, keepdims=True)  # not above 0: theirs are 0 for now
    return scores
