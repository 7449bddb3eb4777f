"""Item-based collaborative filtering with cosine similarity.

Sarwar et al., "Item-based collaborative filtering recommendation algorithms" (WWW 2001), section 3.1.1, on binary
data: similarity(i, j) = users with both / sqrt(users with i * users with j). The score of a candidate is the sum of
its similarities to the history.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from genrec.recall.parts.scorer import History, ItemGraph, Training, incidence
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """ItemCF."""

    history_decay: float = setting(
        1.0, "Weight of a history item is history_decay ** age (0 is the newest); 1 weighs all alike.", gt=0, le=1
    )


def cosine_similarity(sequences: Sequence[History], num_items: int) -> sp.csr_array:
    """Symmetric float32 [num_items, num_items] with a zero diagonal; entries in [0, 1]."""
    users_items = incidence(sequences, num_items)
    norms = np.sqrt(np.maximum(users_items.sum(axis=0), 1)).astype(np.float32)
    scaled = users_items @ sp.diags_array(1 / norms)
    similarity = sp.csr_array(scaled.T @ scaled)
    diagonal = sp.diags_array(similarity.diagonal())
    similarity = sp.csr_array(similarity - diagonal)
    similarity.eliminate_zeros()
    return similarity.astype(np.float32)


def fit(data: Training, options: Config) -> ItemGraph:
    """Similarities from the training sequences."""
    return ItemGraph(cosine_similarity(data.sequences, data.num_items), options.history_decay)
