"""Channels that are an item-item matrix."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.recall.parts.channel import SparseChannel
from genrec.recall.parts.index_files import State
from genrec.recall.parts.ranking import top_k
from genrec.recall.parts.scorer import History, flatten, history_weights

_DENSE = 1 << 12  # items up to which one history's scores are held dense


class ItemGraph(SparseChannel):
    """Scorer that adds up rows of an item-item matrix, weighted by how recent each history item is."""

    def __init__(self, weights: sp.csr_array, decay: float) -> None:
        self.weights = weights  # float32 [num_items, num_items]; row = history item, column = candidate
        self.decay = decay
        self.num_items = weights.shape[0]

    def sparse_scores(self, histories: Sequence[History]) -> sp.csr_array:
        """float32 [b, num_items]: sum over the history of decay ** age * weights[item]."""
        return sp.csr_array(history_weights(histories, self.num_items, self.decay) @ self.weights)

    def _top(
        self, histories: Sequence[History], n: int, banned: Sequence[History] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if len(histories) == 1 and self.num_items <= _DENSE and self.weights.has_canonical_format:
            return self._top_of_one(histories[0], n, None if banned is None else banned[0])
        return super()._top(histories, n, banned)

    def _top_of_one(
        self, history: History, n: int, banned: History | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """`_top` of a request, where making sparse matrices takes longer than the sums: added up in the same order."""
        _, items = flatten([history], self.num_items)
        age = np.arange(len(items) - 1, -1, -1)
        known, place = np.unique(items, return_inverse=True)
        weight = np.zeros(len(known), dtype=np.float32)
        np.add.at(weight, place, np.power(np.float64(self.decay), age).astype(np.float32))
        scores, starts = np.zeros(self.num_items, dtype=np.float32), self.weights.indptr
        for item, of_item in zip(known.tolist(), weight, strict=True):
            row = slice(starts[item], starts[item + 1])
            scores[self.weights.indices[row]] += of_item * self.weights.data[row]
        if banned is not None:
            scores[flatten([banned], self.num_items)[1]] = 0
        scores[scores <= 0] = -np.inf
        return top_k(scores[None], n)

    def with_options(self, options: Any) -> "ItemGraph":
        """The same matrix with the decay of the options."""
        return ItemGraph(self.weights, options.history_decay)

    def state(self) -> State:
        """The matrix and the decay."""
        return {"weights": self.weights}, {"decay": self.decay}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "ItemGraph":
        """The channel that has this state."""
        return cls(arrays["weights"], float(settings["decay"]))
