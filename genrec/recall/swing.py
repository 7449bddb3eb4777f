"""Swing: two items are alike when pairs of users who share little else both had them.

Yang et al., "Large scale product graph construction for recommendation in e-commerce" (arXiv 2010.05525), section 3.1:

    similarity(i, j) = sum over the pairs of users u < v who both had i and j of  w_u * w_v / (alpha + |I_u & I_v|)

with w_u = 1 / (|I_u| + beta) ** exponent, which tempers heavy users. The score of a candidate is the sum of its
similarities to the history.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.recall.parts.item_graph import ItemGraph
from genrec.recall.parts.scorer import Training, incidence
from genrec.variants import setting

_BLOCK_EVENTS = 4096  # training events of the users compared with all others at once: bounds memory


@dataclass(frozen=True)
class Config:
    """Swing."""

    alpha: float = setting(1.0, "Damps pairs of users: the higher, the less their other common items matter.", gt=0)
    beta: float = setting(1.0, "Added to a user's number of items before it is turned into a weight.", ge=0)
    exponent: float = setting(0.5, "Exponent of a user's number of items in the weight of that user.", ge=0)
    history_decay: float = setting(0.8, "Weight of a history item is history_decay ** age.", gt=0, le=1)


CHOICES = {"history_decay": (0.4, 0.6, 0.8, 1.0), "alpha": (1.0, 10.0), "exponent": (0.0, 0.5)}
RANKING = ("history_decay",)
load = ItemGraph.load


def swing_similarity(users_items: sp.csr_array, alpha: float, user_weight: NDArray[np.float64]) -> sp.csr_array:
    """Symmetric float32 [N, N] with a zero diagonal from the binary matrix [U, N] and weights [U]."""
    num_users, num_items = users_items.shape
    total = sp.csr_array((num_items, num_items), dtype=np.float64)
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
        total = total + sp.csr_array(both.T @ (sp.diags_array(weights) @ both))
    total = sp.csr_array(total - sp.diags_array(total.diagonal()))
    total.eliminate_zeros()
    return total.astype(np.float32)


def fit(data: Training, options: Config) -> ItemGraph:
    """Similarities from the training sequences."""
    users_items = incidence(data.sequences, data.num_items)
    weights = (np.diff(users_items.indptr) + options.beta + 1e-12) ** -options.exponent
    return ItemGraph(swing_similarity(users_items, options.alpha, weights), options.history_decay)
