"""What recommendation lists are like, whether they hit or not: coverage, novelty, diversity, share of the tail, and how
many categories and new items they show.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.metrics import coverage, popularity_groups
from genrec.tables import numbered

NEW_COUNT = 5  # training events of a new item, at most
_PAIRED_LISTS = 1 << 15  # lists whose pairs of items are compared at once: bounds memory


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
        self.is_new = counts <= NEW_COUNT
        self.categories = _category_matrix(catalogue["categories"].combine_chunks())
        self.last_category = _last_category(catalogue["categories"].combine_chunks())

    def __call__(self, items: NDArray[np.int32]) -> dict[str, float]:
        """Means over the lists items int32 [n, k] (-1: no item); lists without what a figure needs are left out.

        coverage@k: share of the catalogue that is in some list. novelty@k: mean self-information of the listed items,
        -log2 of their share of the training events, in bits (Vargas and Castells, RecSys 2011). diversity@k: mean over
        the pairs of a list of 1 - the Jaccard index of their categories (Ziegler et al., WWW 2005), 0..1; pairs in which
        an item has no category are left out. tail_share@k: share of the listed items that are not head. categories@k and
        new_items@k: means of `num_categories` and `num_new`.
        """
        k = self.k
        listed = items >= 0
        safe = np.where(listed, items, 0)
        return {
            f"coverage@{k}": coverage(items, k, self.num_items),
            f"novelty@{k}": _mean(self.information[safe], listed),
            f"diversity@{k}": self._diversity(safe, listed),
            f"tail_share@{k}": _mean(~self.is_head[safe], listed),
            f"categories@{k}": float(self.num_categories(items).mean()) if len(items) else 0.0,
            f"new_items@{k}": float(self.num_new(items).mean()) if len(items) else 0.0,
        }

    def num_categories(self, items: NDArray[np.int32]) -> NDArray[np.float64]:
        """Different categories in each list, float64 [n], the last (most specific) of an item counting."""
        shown = np.sort(np.where(items >= 0, self.last_category[items], -1), axis=1)
        first = np.diff(shown, axis=1, prepend=-1) != 0
        return (first & (shown >= 0)).sum(axis=1).astype(np.float64)

    def num_new(self, items: NDArray[np.int32]) -> NDArray[np.float64]:
        """Items in each list with at most NEW_COUNT training events, float64 [n]."""
        return (self.is_new[items] & (items >= 0)).sum(axis=1).astype(np.float64)

    def _diversity(self, items: NDArray[np.int32], listed: NDArray[np.bool_]) -> float:
        parts = [slice(start, start + _PAIRED_LISTS) for start in range(0, len(items), _PAIRED_LISTS)]
        return _mean_of_lists([self._distances(items[part], listed[part]) for part in parts])

    def _distances(self, items: NDArray[np.int32], listed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Mean distance of the pairs of each list, float64 [n]; NaN where no pair counts."""
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
        return _per_list(distance[place], listed[:, first] & listed[:, second] & known[place])


def _mean(values: NDArray, counted: NDArray[np.bool_]) -> float:
    """Mean over lists of the mean over what counts; 0 where no list has any."""
    return _mean_of_lists([_per_list(values, counted)])


def _mean_of_lists(parts: Sequence[NDArray[np.float64]]) -> float:
    """Mean of the figures of lists that are not NaN, 0 where there is none."""
    figures = np.concatenate([*parts, np.empty(0)])
    known = figures[~np.isnan(figures)]
    return float(known.mean()) if len(known) else 0.0


def _per_list(values: NDArray, counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over what counts in each row of [n, m], float64 [n]; NaN where nothing does."""
    per_list = counted.sum(axis=1)
    return np.where(per_list > 0, (values * counted).sum(axis=1) / np.maximum(per_list, 1), np.nan)


def _category_matrix(categories: pa.ListArray) -> sp.csr_array:
    """Binary [num_items, num distinct categories]."""
    codes, names = numbered(categories.flatten())
    rows = np.repeat(np.arange(len(categories)), categories.value_lengths().to_numpy())
    shape = (len(categories), len(names))
    matrix = sp.csr_array((np.ones(len(rows)), (rows, codes)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _last_category(categories: pa.ListArray) -> NDArray[np.int64]:
    """The number of each item's last category, int64 [num_items], -1 where it has none."""
    codes, _ = numbered(categories.flatten())
    lengths = categories.value_lengths().to_numpy().astype(np.int64)
    last = np.cumsum(lengths) - 1
    return np.where(lengths > 0, np.append(codes, -1)[last], -1)


def first_k(table: pa.Table, k: int) -> NDArray[np.int32]:
    """The first k items of each list of PREDICTIONS, int32 [n, k], -1 where a list is shorter."""
    lists = pc.list_slice(table["items"].combine_chunks(), 0, k, return_fixed_size_list=True)
    return lists.flatten().fill_null(-1).to_numpy().reshape(-1, k)
