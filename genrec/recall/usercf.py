"""User-based collaborative filtering: what the most similar users had.

Resnick et al., "GroupLens" (CSCW 1994), on binary data. similarity(history, u) is the cosine of the two sets of items,
each item weighted by its inverse user frequency log(U / users with it) (Breese et al., "Empirical analysis of
predictive algorithms for collaborative filtering", UAI 1998, section 2.2.3). The score of a candidate is the sum of the
similarities of the nearest users who had it.

In large data a popular item would make everybody a neighbour: of the users who had it a random sample of
`max_item_users` is looked at (Jannach and Ludewig, "When recurrent neural networks meet the neighborhood for
session-based recommendation", RecSys 2017, section 3.1, sample the neighbours likewise).
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.recall.parts.channel import SparseChannel
from genrec.recall.parts.index_files import State
from genrec.recall.parts.scorer import History, Training, history_of_one, history_weights, incidence
from genrec.recall.parts.sparse import add_rows, among_largest, blocks, keep_largest, of_rows
from genrec.recall.parts.thinning import max_item_users, max_user_items, newest, thinned
from genrec.variants import setting

_DENSE_USERS = 1 << 17  # training users up to which the similarities of one history are held dense
_ENTRIES = 1 << 23  # similarities of histories and users held at once: bounds memory


@dataclass(frozen=True)
class Config:
    """UserCF."""

    num_neighbours: int = setting(200, "Nearest users whose similarities are added up.", ge=1)
    history_decay: float = setting(
        0.7, "Weight of a history item in the similarity is history_decay ** age (0 is the newest).", gt=0, le=1
    )
    max_user_items: int = max_user_items(500)
    max_item_users: int = max_item_users(5000)


CHOICES = {"history_decay": (0.5, 0.7, 0.85), "num_neighbours": (50, 100, 200)}
RANKING = ("history_decay", "num_neighbours")


class UserNeighbours(SparseChannel):
    """Scorer over the training users."""

    def __init__(self, users_items: sp.csr_array, num_neighbours: int, decay: float, max_item_users: int = 0) -> None:
        self.users_items = users_items  # float32 [U, num_items], binary
        self.num_items = users_items.shape[1]
        self.num_neighbours, self.decay, self.max_item_users = num_neighbours, decay, max_item_users
        users_with = users_items.sum(axis=0)
        self.idf = np.log((1 + users_items.shape[0]) / np.maximum(users_with, 1)).astype(np.float32)
        weighted = users_items @ sp.diags_array(self.idf)
        self.items_users = thinned(sp.csr_array(_unit(weighted).T), max_item_users)  # float32 [num_items, U]

    def sparse_scores(self, histories: Sequence[History]) -> sp.csr_array:
        """float32 [b, num_items]: summed similarities of the nearest users who had the item."""
        weights = history_weights(histories, self.num_items, self.decay)
        profile = _unit(weights @ sp.diags_array(self.idf))
        met = (profile > 0).astype(np.float64) @ np.diff(
            self.items_users.indptr
        )  # users that share an item, with repeats
        similarity = [
            keep_largest(sp.csr_array(profile[part] @ self.items_users), self.num_neighbours)
            for part in blocks(np.minimum(met, self.users_items.shape[0]), _ENTRIES)
        ]
        if not similarity:
            return sp.csr_array((0, self.num_items), dtype=np.float32)
        return sp.csr_array(sp.csr_array(sp.vstack(similarity, format="csr")) @ self.users_items)

    def scores_of_one(self, history: History) -> NDArray[np.float32] | None:
        """As `sparse_scores` of one history."""
        num_users = self.users_items.shape[0]
        if num_users > _DENSE_USERS:
            return None
        items, weights = history_of_one(history, self.num_items, self.decay)
        profile = weights * self.idf[items]
        norm = np.sqrt((profile * profile).sum())
        similarity = np.zeros(num_users, dtype=np.float32)
        add_rows(similarity, self.items_users, items, profile / (norm if norm > 0 else np.float32(1)))
        users = np.flatnonzero(similarity)
        users = users[among_largest(similarity[users], self.num_neighbours)]
        place, columns, values = of_rows(self.users_items, users)
        scores = np.zeros(self.num_items, dtype=np.float32)
        np.add.at(scores, columns, similarity[users][place] * values)
        return scores

    def with_options(self, options: Config) -> "UserNeighbours":
        """The same users with the neighbours and the decay of the options."""
        same = copy.copy(self)
        same.num_neighbours, same.decay = options.num_neighbours, options.history_decay
        return same

    def state(self) -> State:
        """The training users' items, and the options of the ranking."""
        settings = {name: getattr(self, name) for name in ("num_neighbours", "decay", "max_item_users")}
        return {"users_items": self.users_items}, settings

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "UserNeighbours":
        """The channel that has this state."""
        neighbours, most = int(settings["num_neighbours"]), int(settings.get("max_item_users", 0))
        return cls(arrays["users_items"], neighbours, float(settings["decay"]), most)


load = UserNeighbours.load


def _unit(matrix: sp.sparray) -> sp.csr_array:
    """Rows of Euclidean norm 1; rows of zeros stay."""
    norms = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    return sp.csr_array(sp.diags_array(1 / np.where(norms > 0, norms, 1)) @ matrix).astype(np.float32)


def fit(data: Training, options: Config) -> UserNeighbours:
    """The training users as neighbours."""
    users_items = incidence(newest(data.sequences, options.max_user_items), data.num_items)
    return UserNeighbours(users_items, options.num_neighbours, options.history_decay, options.max_item_users)
