"""Lists sorted by a weighted sum of their aims, and the weights behind what a search or a policy chooses."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts.lists import Floats, Lists, Reordered


def by_weights(
    lists: Lists, columns: Floats, weights: NDArray[np.floating], warnings: Counter[str] | None = None
) -> Reordered:
    """Columns [U, C, A] of `aims.columns` summed with weights [U, A]; equal sums keep their order."""
    present = lists.present
    score = np.einsum("uca,ua->uc", columns, weights.astype(np.float32))
    order = np.argsort(np.where(present, -score, np.inf), axis=1, kind="stable")
    lowest = np.where(present, score, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    filled = np.where(present, score, np.where(np.isfinite(lowest), lowest, 0)).astype(np.float32)
    return Reordered(order, np.take_along_axis(filled, order, axis=1), warnings or Counter())


def weights_of(free: NDArray[np.floating], bound: float) -> NDArray[np.float64]:
    """Weights [n, A] of choices in -1..1 [n, A - 1]: 1 for relevance, bound * free * |free| for the other aims.

    Squared, so that most choices are small weights: NDCG allows no great ones.
    """
    return np.column_stack([np.ones(len(free)), bound * free * np.abs(free)])


def choices_of(weights: NDArray[np.floating], bound: float) -> NDArray[np.float64]:
    """The choices [A - 1] behind weights [A]: the inverse of `weights_of`."""
    share = weights[1:] / bound
    return np.sign(share) * np.sqrt(np.abs(share))
