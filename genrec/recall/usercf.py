"""User-based collaborative filtering: what the most similar users had.

Resnick et al., "GroupLens" (CSCW 1994), on binary data. similarity(history, u) is the cosine of the two sets of items,
each item weighted by its inverse user frequency log(U / users with it) (Breese et al., "Empirical analysis of
predictive algorithms for collaborative filtering", UAI 1998, section 2.2.3). The score of a candidate is the sum of the
similarities of the nearest users who had it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from genrec.recall.parts.channel import SparseChannel
from genrec.recall.parts.index_files import State
from genrec.recall.parts.scorer import History, Training, history_weights, incidence
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """UserCF."""

    num_neighbours: int = setting(200, "Nearest users whose similarities are added up.", ge=1)
    history_decay: float = setting(
        0.7, "Weight of a history item in the similarity is history_decay ** age (0 is the newest).", gt=0, le=1
    )


CHOICES = {"history_decay": (0.5, 0.7, 0.85), "num_neighbours": (50, 100, 200)}
RANKING = ("history_decay", "num_neighbours")


class UserNeighbours(SparseChannel):
    """Scorer over the training users."""

    def __init__(self, users_items: sp.csr_array, num_neighbours: int, decay: float) -> None:
        self.users_items = users_items  # float32 [U, num_items], binary
        self.num_items = users_items.shape[1]
        self.num_neighbours, self.decay = num_neighbours, decay
        users_with = users_items.sum(axis=0)
        self.idf = np.log((1 + users_items.shape[0]) / np.maximum(users_with, 1)).astype(np.float32)
        weighted = users_items @ sp.diags_array(self.idf)
        self.items_users = sp.csr_array(_unit(weighted).T)  # float32 [num_items, U]

    def sparse_scores(self, histories: Sequence[History]) -> sp.csr_array:
        """float32 [b, num_items]: summed similarities of the nearest users who had the item."""
        weights = history_weights(histories, self.num_items, self.decay)
        profile = _unit(weights @ sp.diags_array(self.idf))
        similarity = keep_largest(sp.csr_array(profile @ self.items_users), self.num_neighbours)
        return sp.csr_array(similarity @ self.users_items)

    def with_options(self, options: Config) -> "UserNeighbours":
        """The same users with the neighbours and the decay of the options."""
        return UserNeighbours(self.users_items, options.num_neighbours, options.history_decay)

    def state(self) -> State:
        """The training users' items, and the options of the ranking."""
        return {"users_items": self.users_items}, {"num_neighbours": self.num_neighbours, "decay": self.decay}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "UserNeighbours":
        """The channel that has this state."""
        return cls(arrays["users_items"], int(settings["num_neighbours"]), float(settings["decay"]))


load = UserNeighbours.load


def _unit(matrix: sp.sparray) -> sp.csr_array:
    """Rows of Euclidean norm 1; rows of zeros stay."""
    norms = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    return sp.csr_array(sp.diags_array(1 / np.where(norms > 0, norms, 1)) @ matrix).astype(np.float32)


def keep_largest(matrix: sp.csr_array, k: int) -> sp.csr_array:
    """The k largest entries of each row (of equals, the lower column)."""
    matrix.sort_indices()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    kept = order[np.arange(len(order)) - matrix.indptr[rows] < k]
    return sp.csr_array((matrix.data[kept], (rows[kept], matrix.indices[kept])), shape=matrix.shape)


def fit(data: Training, options: Config) -> UserNeighbours:
    """The training users as neighbours."""
    return UserNeighbours(incidence(data.sequences, data.num_items), options.num_neighbours, options.history_decay)
