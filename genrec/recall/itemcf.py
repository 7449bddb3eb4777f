"""Item-based collaborative filtering: items that share users with those of the history.

Sarwar et al., "Item-based collaborative filtering recommendation algorithms" (WWW 2001), section 3.1.1, on binary
data, with the exponent of Deshpande and Karypis, "Item-based top-N recommendation algorithms" (TOIS 2004), section
4.2.2, for the popularity of the candidate: similarity(i, j) = users with both / (users with i ** 0.5 * users with j **
popularity_exponent); 0.5 is the cosine. The score of a candidate is the sum of its similarities to the history.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from genrec.recall.parts.item_graph import ItemGraph
from genrec.recall.parts.scorer import History, Training, incidence
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """ItemCF."""

    popularity_exponent: float = setting(
        0.5, "Exponent of the candidate's users in the similarity: 0.5 is the cosine, less favours popular items.", ge=0
    )
    history_decay: float = setting(
        1.0, "Weight of a history item is history_decay ** age (0 is the newest); 1 weighs all alike.", gt=0, le=1
    )


CHOICES = {"history_decay": (1.0, 0.8, 0.6, 0.4), "popularity_exponent": (0.5, 0.25, 0.0)}
RANKING = ("history_decay",)
load = ItemGraph.load


def shared_users(sequences: Sequence[History], num_items: int, popularity_exponent: float = 0.5) -> sp.csr_array:
    """The similarities, float32 [num_items, num_items] with a zero diagonal; the cosine of user sets by default."""
    users_items = incidence(sequences, num_items)
    users_with = np.maximum(users_items.sum(axis=0), 1)
    source, candidate = (sp.diags_array(users_with**-exponent) for exponent in (0.5, popularity_exponent))
    similarity = sp.csr_array(source @ (users_items.T @ users_items) @ candidate)
    similarity = sp.csr_array(similarity - sp.diags_array(similarity.diagonal()))
    similarity.eliminate_zeros()
    return similarity.astype(np.float32)


def fit(data: Training, options: Config) -> ItemGraph:
    """Similarities from the training sequences."""
    return ItemGraph(shared_users(data.sequences, data.num_items, options.popularity_exponent), options.history_decay)
