"""Lists sorted by a weighted sum of their aims."""

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
