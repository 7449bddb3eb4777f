"""Swing: two items are alike when pairs of users who share little else both had them.

Yang et al., "Large scale product graph construction for recommendation in e-commerce" (arXiv 2010.05525), section 3.1:

    similarity(i, j) = sum over the pairs of users u < v who both had i and j of  w_u * w_v / (alpha + |I_u & I_v|)

with w_u = 1 / (|I_u| + beta) ** exponent, which tempers heavy users. The score of a candidate is the sum of its
similarities to the history. In large data users count by their newest items and items by a sample of their users, as in the
implementations in use (`maxUserBehavior` and `maxUserNumPerItem`, both 1,000, of Apache Flink ML's Swing).
"""

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.recall.parts.item_graph import ItemGraph
from genrec.recall.parts.scorer import Training, incidence
from genrec.recall.parts.thinning import (
    max_item_users,
    max_user_items,
    most_neighbours,
    neighbours,
    newest,
    thinned,
)
from genrec.variants import setting

_BLOCK_EVENTS = 4096  # training events of the users compared with all others at once: bounds memory
_ADD_AT = 4  # the sums of new blocks are added to the whole when they are this part of it


@dataclass(frozen=True)
class Config:
    """Swing."""

    alpha: float = setting(1.0, "Damps pairs of users: the higher, the less their other common items matter.", gt=0)
    beta: float = setting(1.0, "Added to a user's number of items before it is turned into a weight.", ge=0)
    exponent: float = setting(0.5, "Exponent of a user's number of items in the weight of that user.", ge=0)
    history_decay: float = setting(0.8, "Weight of a history item is history_decay ** age.", gt=0, le=1)
    max_user_items: int = max_user_items(1000)
    max_item_users: int = max_item_users(1000)
    neighbours: int = neighbours()


CHOICES = {"history_decay": (0.4, 0.6, 0.8, 1.0), "alpha": (1.0, 10.0), "exponent": (0.0, 0.5)}
RANKING = ("history_decay",)
load = ItemGraph.load


def swing_similarity(users_items: sp.csr_array, alpha: float, user_weight: NDArray[np.float64]) -> sp.csr_array:
    """Symmetric float32 [N, N] with a zero diagonal from the binary matrix [U, N] and weights [U]."""
    num_users, num_items = users_items.shape
    total = sp.csr_array((num_items, num_items), dtype=np.float64)
    waiting = sp.csr_array((num_items, num_items), dtype=np.float64)
    items_users = sp.csr_array(users_items.T)
    edges = [0, *np.flatnonzero(np.diff(users_items.indptr // _BLOCK_EVENTS)), num_users]
    for start, stop in itertools.pairwise(edges):
        common = sp.coo_array(users_items[start:stop] @ items_users)
        first, second = common.row + start, common.col
        # One common item makes no pair of items, so the sparse product leaves few pairs of users.
        pairs = (first < second) & (common.data >= 2)
        first, second, shared = first[pairs], second[pairs], common.data[pairs]
        weights = user_weight[first] * user_weight[second] / (alpha + shared)
        both = users_items[first].multiply(users_items[second])
        waiting = waiting + sp.csr_array(both.T @ (sp.diags_array(weights) @ both))
        if waiting.nnz * _ADD_AT > total.nnz:  # else every block would copy the whole sum
            total, waiting = total + waiting, sp.csr_array(total.shape, dtype=np.float64)
    total = total + waiting
    total = sp.csr_array(total - sp.diags_array(total.diagonal()))
    total.eliminate_zeros()
    return total.astype(np.float32)


def fit(data: Training, options: Config) -> ItemGraph:
    """Similarities from the training sequences."""
    users_items = incidence(newest(data.sequences, options.max_user_items), data.num_items)
    weights = (np.diff(users_items.indptr) + options.beta + 1e-12) ** -options.exponent
    compared = sp.csr_array(thinned(sp.csr_array(users_items.T), options.max_item_users).T)
    similarity = swing_similarity(compared, options.alpha, weights)
    return ItemGraph(most_neighbours(similarity, options.neighbours), options.history_decay)
