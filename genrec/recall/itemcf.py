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
from genrec.recall.parts.sparse import blocks, keep_largest
from genrec.recall.parts.thinning import max_user_items, neighbours, newest, num_kept
from genrec.variants import setting

_ENTRIES = 1 << 23  # similarities held at once before the largest are taken: bounds memory


@dataclass(frozen=True)
class Config:
    """ItemCF."""

    popularity_exponent: float = setting(
        0.5, "Exponent of the candidate's users in the similarity: 0.5 is the cosine, less favours popular items.", ge=0
    )
    history_decay: float = setting(
        1.0, "Weight of a history item is history_decay ** age (0 is the newest); 1 weighs all alike.", gt=0, le=1
    )
    max_user_items: int = max_user_items(500)
    neighbours: int = neighbours()


CHOICES = {"history_decay": (1.0, 0.8, 0.6, 0.4), "popularity_exponent": (0.5, 0.25, 0.0)}
RANKING = ("history_decay",)
load = ItemGraph.load


def shared_users(
    sequences: Sequence[History], num_items: int, popularity_exponent: float = 0.5, *, kept: int | None = None
) -> sp.csr_array:
    """The similarities, float32 [num_items, num_items] with a zero diagonal; the cosine of user sets by default.

    `kept` of them stay for an item, the largest ones (None: all). They are computed for some items at a time, so that
    memory holds what stays and `_ENTRIES` beside it.
    """
    users_items = incidence(sequences, num_items)
    items_users = sp.csr_array(users_items.T)
    users_with = np.maximum(users_items.sum(axis=0), 1)
    source, candidate = (users_with**-exponent for exponent in (0.5, popularity_exponent))
    shared = items_users @ np.diff(users_items.indptr).astype(
        np.float64
    )  # items met by the users of each, with repeats
    found = []
    for part in blocks(np.minimum(shared, num_items), _ENTRIES):
        similarity = sp.csr_array(
            sp.diags_array(source[part]) @ (items_users[part] @ users_items) @ sp.diags_array(candidate)
        )
        row = np.repeat(np.arange(part.start, part.stop), np.diff(similarity.indptr))
        similarity.data[similarity.indices == row] = 0
        similarity.eliminate_zeros()
        found.append(keep_largest(similarity, num_items if kept is None else kept).astype(np.float32))
    return sp.csr_array(sp.vstack(found, format="csr"))


def fit(data: Training, options: Config) -> ItemGraph:
    """Similarities from the training sequences."""
    similarity = shared_users(
        newest(data.sequences, options.max_user_items),
        data.num_items,
        options.popularity_exponent,
        kept=num_kept(data.num_items, options.neighbours),
    )
    return ItemGraph(similarity, options.history_decay)
