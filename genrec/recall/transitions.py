"""Directed transitions between items, beside symmetric co-occurrence: a graph heuristic that uses order and recency.

weight(i -> j) is the sum, over the training sequences in which j follows i within `window` places, of 1 / distance;
`itemcf_weight` times the ItemCF similarity is added. A history item of age a counts history_decay ** a. Heuristics of this
kind beat trained sequence models on many public sets (arXiv 2605.07125), which makes it the baseline to beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp

from genrec.recall.itemcf import shared_users
from genrec.recall.parts.item_graph import ItemGraph
from genrec.recall.parts.scorer import History, Training, flatten
from genrec.recall.parts.thinning import max_user_items, most_neighbours, neighbours, newest, num_kept
from genrec.transitions import weighted_pairs
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Transition graph."""

    window: int = setting(5, "Longest distance, in events, between an item and one that counts as following it.", ge=1)
    itemcf_weight: float = setting(0.5, "Share of the symmetric ItemCF similarity added to the transitions.", ge=0)
    itemcf_exponent: float = setting(0.5, "ItemCF's popularity_exponent: 0.5 is the cosine.", ge=0)
    history_decay: float = setting(0.6, "Weight of a history item is history_decay ** age.", gt=0, le=1)
    normalize: Literal["none", "source", "geometric"] = setting(
        "none",
        "none keeps counts, so that popular items win; source divides an edge by the square root of what leaves its "
        "source, geometric also by that of what enters its target.",
    )
    max_user_items: int = max_user_items(500)
    neighbours: int = neighbours()


CHOICES = {
    "normalize": ("none", "source", "geometric"),
    "itemcf_exponent": (0.5, 0.25),
    "itemcf_weight": (0.0, 0.5, 1.0),
    "history_decay": (0.4, 0.6, 0.8),
    "window": (1, 5),
}
RANKING = ("history_decay",)
load = ItemGraph.load


def transition_weights(sequences: Sequence[History], num_items: int, window: int) -> sp.csr_array:
    """float32 [num_items, num_items]: sum of 1 / distance over ordered pairs of a sequence at most `window` apart."""
    sequence, items = flatten(sequences, num_items)
    total = sp.csr_array((num_items, num_items), dtype=np.float32)
    for pair_weight, before, after in weighted_pairs(items, sequence, window):
        weights = np.full(len(before), pair_weight, dtype=np.float32)
        total = total + sp.csr_array((weights, (before, after)), shape=total.shape)
    return sp.csr_array(total)


def fit(data: Training, options: Config) -> ItemGraph:
    """The graph from the training sequences."""
    weights = transition_weights(data.sequences, data.num_items, options.window)
    leaving, entering = (np.sqrt(np.maximum(weights.sum(axis=axis), 1e-9)) for axis in (1, 0))
    if options.normalize != "none":
        weights = sp.diags_array(1 / leaving) @ weights
    if options.normalize == "geometric":
        weights = weights @ sp.diags_array(1 / entering)
    similar = shared_users(
        newest(data.sequences, options.max_user_items),
        data.num_items,
        options.itemcf_exponent,
        kept=num_kept(data.num_items, options.neighbours),
    )
    both = sp.csr_array(weights + options.itemcf_weight * similar).astype(np.float32)
    return ItemGraph(most_neighbours(both, options.neighbours), options.history_decay)
