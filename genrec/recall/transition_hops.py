"""Directed transitions of one and of two hops: what came right after the history's items, and what came after that.

P(i -> j) is the share of item i's followers that are j, over neighbouring events of the training sequences, as in a
Markov chain. An edge of the channel is

    P + two_hops * (P @ P without the edges of P)

The score of a candidate is the sum of the edges from the history, an item of age a counting history_decay ** a. Unlike
`transition_rings` it needs no text and lists nothing that no path leads to.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from genrec.recall.parts.item_graph import ItemGraph
from genrec.recall.parts.scorer import Training
from genrec.recall.parts.sparse import blocks, keep_largest
from genrec.recall.parts.thinning import most_neighbours, neighbours
from genrec.recall.transitions import transition_weights
from genrec.variants import setting

_ENTRIES = 1 << 23  # paths held at once: bounds memory


@dataclass(frozen=True)
class Config:
    """Transitions of one and two hops."""

    two_hops: float = setting(0.3, "Weight of a path of two hops beside an edge.", ge=0)
    num_two_hops: int = setting(200, "Items that two hops reach from an item, the most probable ones.", ge=1)
    history_decay: float = setting(0.6, "Weight of a history item is history_decay ** age.", gt=0, le=1)
    neighbours: int = neighbours()


CHOICES = {"history_decay": (0.4, 0.6, 0.8), "two_hops": (0.3, 1.0)}
RANKING = ("history_decay",)
load = ItemGraph.load


def follow_shares(edges: sp.csr_array) -> sp.csr_array:
    """float32, rows of `edges` divided by their sum; empty rows stay."""
    total = edges.sum(axis=1)
    return sp.csr_array(sp.diags_array(1 / np.where(total > 0, total, 1)) @ edges).astype(np.float32)


def second_hop(shares: sp.csr_array, most: int) -> sp.csr_array:
    """float32, the probability of a path of exactly two hops to where no edge leads and that is not its own start.

    The `most` likeliest ends of each start stay.
    """
    edges = sp.csr_array(shares > 0)
    loops = edges.diagonal() > 0
    ends = (shares > 0).astype(np.float64) @ np.diff(shares.indptr)  # of each start, with repeats
    found = []
    for part in blocks(np.minimum(ends, shares.shape[0]), _ENTRIES):
        paths = sp.csr_array(shares[part] @ shares)
        own = np.where(loops[part], 0, paths.diagonal(part.start))
        returning = sp.csr_array((own, (np.arange(len(own)), np.arange(part.start, part.stop))), shape=paths.shape)
        paths = sp.csr_array(paths - paths.multiply(edges[part]) - returning)
        paths.eliminate_zeros()
        found.append(keep_largest(paths, most).astype(np.float32))
    return sp.csr_array(sp.vstack(found, format="csr"))


def fit(data: Training, options: Config) -> ItemGraph:
    """The edges from the training sequences."""
    edges = transition_weights(data.sequences, data.num_items, 1)
    shares = most_neighbours(follow_shares(edges), options.neighbours)
    weights = shares + options.two_hops * second_hop(shares, options.num_two_hops)
    return ItemGraph(sp.csr_array(weights).astype(np.float32), options.history_decay)
