"""Channels that are an item-item matrix."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.recall.parts.channel import SparseChannel
from genrec.recall.parts.index_files import State
from genrec.recall.parts.scorer import History, history_of_one, history_weights
from genrec.recall.parts.sparse import add_rows

_DENSE_ITEMS = 1 << 10  # up to which the matrix is held dense too: 4 MiB


class ItemGraph(SparseChannel):
    """Scorer that adds up rows of an item-item matrix, weighted by how recent each history item is."""

    def __init__(self, weights: sp.csr_array, decay: float) -> None:
        self.weights = weights  # float32 [num_items, num_items]; row = history item, column = candidate
        self.decay = decay
        self.num_items = weights.shape[0]

    def sparse_scores(self, histories: Sequence[History]) -> sp.csr_array:
        """float32 [b, num_items]: sum over the history of decay ** age * weights[item]."""
        return sp.csr_array(history_weights(histories, self.num_items, self.decay) @ self.weights)

    def scores_of_one(self, history: History) -> NDArray[np.float32] | None:
        """As `sparse_scores` of one history, added up in the same order."""
        if not self.weights.has_canonical_format:
            return None
        items, weights = history_of_one(history, self.num_items, self.decay)
        if self._dense is not None:
            return np.add.reduce(weights[:, None] * self._dense.take(items, axis=0), axis=0)
        scores = np.zeros(self.num_items, dtype=np.float32)
        add_rows(scores, self.weights, items, weights)
        return scores

    @functools.cached_property
    def _dense(self) -> NDArray[np.float32] | None:
        """The matrix of a small catalogue, whose rows are added in fewer steps; None of a larger one."""
        return self.weights.toarray() if self.num_items <= _DENSE_ITEMS else None

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
