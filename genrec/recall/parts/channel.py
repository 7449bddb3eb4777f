"""A fitted channel: scores of the whole catalogue, the best of them as candidates, and an index to keep.

`scores` ranks everything, as a baseline does. `top` lists only items the channel knows something about for a history:
places without one hold -1 / -inf, and a history without any is an empty list, not a list of zeros.
"""

import abc
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.recall.parts import index_files
from genrec.recall.parts.ranking import top_k, top_positive
from genrec.recall.parts.scorer import History, flatten, items_of_one
from genrec.recall.parts.sparse import sparse_best, sparse_top

_CELLS = 1 << 22  # scores held at once: bounds memory
_DENSE = 1 << 16  # items up to which one history's sparse scores are held dense
_SPARSE_ROWS = 512  # histories whose sparse scores are held at once


class Channel(abc.ABC):
    """Base of fitted channels; `known` and `needs_history` say what there is a signal for."""

    num_items: int
    known: NDArray[np.bool_] | None = None  # bool [num_items], items with a score of their own; None: all
    needs_history = True  # an empty history gets no candidates

    @abc.abstractmethod
    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """A fresh float32 array [len(histories), num_items]; higher is better, finite everywhere."""

    @abc.abstractmethod
    def state(self) -> index_files.State:
        """What an index holds: arrays and sparse matrices by name, and settings that JSON can hold."""

    @classmethod
    @abc.abstractmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "Self | ZeroScorer":
        """The channel that has this state."""

    def signals(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """`scores`, with -inf where the channel knows nothing."""
        scores = self._products(histories)
        if not np.isfinite(scores).all():
            raise DataError(f"{type(self).__module__}: scores are not finite")
        if len(self._unknown):
            scores[:, self._unknown] = -np.inf
        if self.needs_history:
            scores[np.fromiter((not len(h) for h in histories), dtype=bool, count=len(histories))] = -np.inf
        return scores

    def top(
        self, histories: Sequence[History], n: int, banned: Sequence[History] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The n best items for each of U histories: (items int32 [U, n], scores float32 [U, n]), best first.

        `banned[u]` items are left out. Equal scores are ordered by the lower item. Raises DataError for scores that are
        no finite numbers.
        """
        if len(histories) == 1:
            return self._top(histories, n, banned)
        items = np.full((len(histories), n), -1, dtype=np.int32)
        values = np.full((len(histories), n), -np.inf, dtype=np.float32)
        for part in self._parts(len(histories)):
            items[part], values[part] = self._top(histories[part], n, None if banned is None else banned[part])
        return items, values

    def save(self, folder: Path) -> None:
        """Write the index into `folder`."""
        index_files.write(folder, *self.state())

    @classmethod
    def load(cls, folder: Path) -> "Self | ZeroScorer":
        """The channel that was saved there; one that was fitted on nothing is a `ZeroScorer`."""
        arrays, settings = index_files.read(folder)
        with index_files.complete(folder):
            if settings.get("fitted_on_nothing"):
                return ZeroScorer.restore(arrays, settings)
            return cls.restore(arrays, settings)

    # ---- how a part of the histories is done; sparse channels do it without dense scores ------------------------------

    def _products(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """`scores`, but for items that are not known, which may have any."""
        return self.scores(histories)

    @functools.cached_property
    def _unknown(self) -> NDArray[np.int64]:
        return np.empty(0, np.int64) if self.known is None else np.flatnonzero(~self.known)

    def _rows_at_once(self) -> int:
        return max(1, _CELLS // max(1, self.num_items))

    def _parts(self, count: int) -> Iterator[slice]:
        edges = [*range(0, count, self._rows_at_once()), count]
        return (slice(start, stop) for start, stop in itertools.pairwise(edges))

    def _top(
        self, histories: Sequence[History], n: int, banned: Sequence[History] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        scores = self.signals(histories)
        if banned is not None and len(banned) == 1:
            scores[0, items_of_one(banned[0], self.num_items)] = -np.inf
        elif banned is not None:
            scores[flatten(banned, self.num_items)] = -np.inf
        return top_k(scores, n)


class SparseChannel(Channel):
    """A channel whose scores are a sparse matrix; what is not stored is no signal, and scores zero."""

    @abc.abstractmethod
    def sparse_scores(self, histories: Sequence[History]) -> sp.csr_array:
        """float32 [len(histories), num_items], a fresh matrix."""

    def scores_of_one(self, history: History) -> NDArray[np.float32] | None:
        """`sparse_scores` of one history, dense, float32 [num_items], a fresh array, without making sparse matrices, which
        takes longer than the sums of a request; None where a channel has no shorter way.
        """
        return None

    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [len(histories), num_items]: `sparse_scores`, and zeros."""
        return self.sparse_scores(histories).toarray().astype(np.float32, copy=False)

    def best(self, histories: Sequence[History], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The n best of all items for each history, unknown ones scoring zero: (items int32 [b, n], scores [b, n])."""
        matrix = self.sparse_scores(histories)
        if not np.isfinite(matrix.data).all():
            raise DataError(f"{type(self).__module__}: scores are not finite")
        if matrix.nnz and matrix.data.min() < 0:
            return top_k(matrix.toarray().astype(np.float32, copy=False), n)
        return sparse_best(matrix, n)

    def _rows_at_once(self) -> int:
        return _SPARSE_ROWS

    def _top(
        self, histories: Sequence[History], n: int, banned: Sequence[History] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if len(histories) == 1 and self.num_items <= _DENSE:
            scores = self.scores_of_one(histories[0])
            if scores is not None:
                if banned is not None:
                    scores[items_of_one(banned[0], self.num_items)] = 0
                return top_positive(scores, n)
        return sparse_top(self.sparse_scores(histories), n, banned)


class ZeroScorer(Channel):
    """A channel fitted on no usable event: every item scores zero, and none is a candidate."""

    def __init__(self, num_items: int) -> None:
        self.num_items = num_items
        self.known = np.zeros(num_items, dtype=bool)

    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, num_items] of zeros."""
        return np.zeros((len(histories), self.num_items), dtype=np.float32)

    def with_options(self, options: Any) -> "ZeroScorer":
        """No option changes it."""
        return self

    def state(self) -> index_files.State:
        """The size of the catalogue."""
        return {}, {"fitted_on_nothing": True, "num_items": self.num_items}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "ZeroScorer":
        """The channel that has this state."""
        return cls(int(settings["num_items"]))
