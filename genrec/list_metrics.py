"""What recommendation lists are like, whether they hit or not: coverage, novelty, diversity, share of the tail."""

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.metrics import coverage, popularity_groups
from genrec.tables import numbered


class ListMetrics:
    """Figures of the first k items of lists over one catalogue.

    `catalogue` has the columns train_count and categories (general to specific) and row i is item i.
    """

    def __init__(self, catalogue: pa.Table, k: int, head_share: float) -> None:
        counts = catalogue["train_count"].to_numpy()
        self.k, self.num_items = k, len(counts)
        # One event is added to each item: a cold one is as surprising as can be, not infinitely so.
        self.information = -np.log2((counts + 1) / (counts.sum() + len(counts)))
        self.is_head = popularity_groups(counts, head_share)["head"]
        self.categories = _category_matrix(catalogue["categories"].combine_chunks())

    def __call__(self, items: NDArray[np.int32]) -> dict[str, float]:
        """Means over the lists items int32 [n, k] (-1: no item); lists without what a figure needs are left out.

        coverage@k: share of the catalogue that is in some list. novelty@k: mean self-information of the listed items,
        -log2 of their share of the training events, in bits (Vargas and Castells, RecSys 2011). diversity@k: mean over
        the pairs of a list of 1 - the Jaccard index of their categories (Ziegler et al., WWW 2005), 0..1; pairs in which
        an item has no category are left out. tail_share@k: share of the listed items that are not head.
        """
        k = self.k
        listed = items >= 0
        safe = np.where(listed, items, 0)
        return {
            f"coverage@{k}": coverage(items, k, self.num_items),
            f"novelty@{k}": _mean(self.information[safe], listed),
            f"diversity@{k}": self._diversity(safe, listed),
            f"tail_share@{k}": _mean(~self.is_head[safe], listed),
        }

    def _diversity(self, items: NDArray[np.int32], listed: NDArray[np.bool_]) -> float:
        first, second = np.triu_indices(items.shape[1], 1)
        left, right = items[:, first].astype(np.int64), items[:, second].astype(np.int64)
        keys = np.minimum(left, right) * self.num_items + np.maximum(left, right)
        pairs, place = np.unique(keys, return_inverse=True)  # lists share many pairs: each is compared once
        sizes = np.diff(self.categories.indptr)
        a, b = pairs // self.num_items, pairs % self.num_items
        shared = np.concatenate(
            [
                self.categories[a[i : i + (1 << 18)]].multiply(self.categories[b[i : i + (1 << 18)]]).sum(axis=1)
                for i in range(0, len(pairs), 1 << 18)
            ]
            or [np.zeros(0)]
        )
        distance = 1 - shared / np.maximum(sizes[a] + sizes[b] - shared, 1)
        known = (sizes[a] > 0) & (sizes[b] > 0)
        place = place.reshape(left.shape)
        return _mean(distance[place], listed[:, first] & listed[:, second] & known[place])


def _mean(values: NDArray, counted: NDArray[np.bool_]) -> float:
    """Mean over lists of the mean over what counts; 0 where no list has any."""
    per_list = counted.sum(axis=1)
    filled = per_list > 0
    if not filled.any():
        return 0.0
    return float(((values * counted).sum(axis=1)[filled] / per_list[filled]).mean())


def _category_matrix(categories: pa.ListArray) -> sp.csr_array:
    """Binary [num_items, num distinct categories]."""
    codes, names = numbered(categories.flatten())
    rows = np.repeat(np.arange(len(categories)), categories.value_lengths().to_numpy())
    shape = (len(categories), len(names))
    matrix = sp.csr_array((np.ones(len(rows)), (rows, codes)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
