"""Lists and single scores from sparse matrices, without a dense matrix of users and items."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.recall.parts.ranking import top_k
from genrec.recall.parts.scorer import History, flatten, positions

_CELLS = 1 << 24  # of the padded rows that are sorted at once: bounds memory


def sparse_top(
    matrix: sp.csr_array, n: int, banned: Sequence[History] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The n largest positive entries of each row: (columns int32 [b, n], values float32 [b, n]), padded -1 / -inf.

    Equal values are ordered by the lower column, as `top_k` orders them. `banned` columns of a row are left out.
    """
    num_rows, num_columns = matrix.shape
    matrix.sum_duplicates()
    lengths = np.diff(matrix.indptr)
    if num_rows > 1 and num_rows * int(lengths.max()) > _CELLS:
        half = num_rows // 2
        first = sparse_top(matrix[:half], n, None if banned is None else banned[:half])
        second = sparse_top(matrix[half:], n, None if banned is None else banned[half:])
        return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
    rows = np.repeat(np.arange(num_rows), lengths)
    kept = matrix.data > 0
    if banned is not None:
        kept &= ~_among(rows, matrix.indices, flatten(banned, num_columns), num_columns)
    rows, columns = rows[kept], matrix.indices[kept]
    place, _ = positions(rows, num_rows)
    shape = (num_rows, int(place.max(initial=-1)) + 1)
    values, numbers = np.full(shape, -np.inf, dtype=np.float32), np.full(shape, -1, dtype=np.int32)
    values[rows, place], numbers[rows, place] = matrix.data[kept], columns
    if not shape[1]:
        return top_k(values, n)
    places, best = top_k(values, n)
    return np.where(places < 0, -1, np.take_along_axis(numbers, np.maximum(places, 0), axis=1)), best


def of_rows(
    matrix: sp.csr_array, rows: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.integer], NDArray[Any]]:
    """What is stored in some rows, row by row: (place in `rows`, column, value), [E] each."""
    starts = matrix.indptr[rows].astype(np.int64)
    lengths = matrix.indptr[rows + 1] - starts
    before = np.cumsum(lengths) - lengths
    place = np.repeat(np.arange(len(rows)), lengths)
    at = np.arange(len(place)) + (starts - before)[place]
    return place, matrix.indices[at], matrix.data[at]


def add_rows(scores: NDArray[np.float32], matrix: sp.csr_array, rows: NDArray[np.integer], weights: NDArray) -> None:
    """Add some rows to `scores` [num_columns], each times its weight, one after the other."""
    starts = matrix.indptr
    for row, weight in zip(rows.tolist(), weights, strict=True):
        part = slice(starts[row], starts[row + 1])
        scores[matrix.indices[part]] += weight * matrix.data[part]


def sparse_best(matrix: sp.csr_array, n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The n best columns of each row, what is not stored being zero, as `top_k` lists those of the dense matrix.

    n is at most the number of columns. Raises ValueError for negative entries.
    """
    if matrix.nnz and matrix.data.min() < 0:
        raise ValueError("a negative entry ranks below what is not stored; make the matrix dense")
    items, values = sparse_top(matrix, n)
    num_rows = matrix.shape[0]
    short = np.flatnonzero((items < 0).any(axis=1))
    # Of the n first columns at least as many are no listed ones as places are left.
    listed = np.zeros((len(short), n), dtype=bool)
    row, place = np.nonzero((items[short] >= 0) & (items[short] < n))
    listed[row, items[short][row, place]] = True
    spare = np.argsort(listed, axis=1, kind="stable")
    count = (items[short] >= 0).sum(axis=1)
    places = np.arange(n)[None] - count[:, None]
    filled = places >= 0
    numbers, figures = items[short], values[short]
    numbers[filled] = np.take_along_axis(spare, np.maximum(places, 0), axis=1)[filled]
    figures[filled] = 0
    items[short], values[short] = numbers, figures
    assert items.shape == (num_rows, n)
    return items.astype(np.int32, copy=False), values


def keep_largest(matrix: sp.csr_array, k: int) -> sp.csr_array:
    """The k largest entries of each row (of equals, the lower column), columns in order."""
    matrix.sort_indices()
    starts = matrix.indptr
    kept = np.ones(len(matrix.data), dtype=bool)
    for row in np.flatnonzero(np.diff(starts) > k).tolist():
        kept[starts[row] : starts[row + 1]] = among_largest(matrix.data[starts[row] : starts[row + 1]], k)
    before = np.concatenate([[0], np.cumsum(kept)])
    return sp.csr_array((matrix.data[kept], matrix.indices[kept], before[starts]), shape=matrix.shape)


def among_largest(values: NDArray[np.floating], k: int) -> NDArray[np.bool_]:
    """bool [n]: is a value one of the k largest, of equals the first?"""
    if len(values) <= k:
        return np.ones(len(values), dtype=bool)
    least = np.partition(values, len(values) - k)[len(values) - k] if k else np.inf
    chosen = values > least
    chosen[np.flatnonzero(values == least)[: k - np.count_nonzero(chosen)]] = True
    return chosen


def blocks(costs: NDArray[np.integer] | NDArray[np.floating], most: int) -> Iterator[slice]:
    """Ranges of rows that cost at most `most` together, or are one row; in order, covering all."""
    passed = np.concatenate([[0.0], np.cumsum(costs, dtype=np.float64)])
    start = 0
    while start < len(costs):
        stop = max(start + 1, int(np.searchsorted(passed, passed[start] + most, side="right")) - 1)
        yield slice(start, stop)
        start = stop


def _among(
    rows: NDArray[np.int64],
    columns: NDArray[np.integer],
    others: tuple[NDArray[np.int64], NDArray[np.int64]],
    num_columns: int,
) -> NDArray[np.bool_]:
    """bool [E]: is (row, column) one of the pairs (rows, columns) in `others`?"""
    return np.isin(rows * num_columns + columns, others[0] * num_columns + others[1])


def entries(matrix: sp.csr_array, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.float32]:
    """float32, of the shape of `rows` and `columns`: the entries there, 0 where nothing is stored."""
    if not rows.size:
        return np.zeros(rows.shape, dtype=np.float32)
    matrix.sum_duplicates()  # sorted, so that an entry is found by bisection
    return np.asarray(matrix[rows.ravel(), columns.ravel()], dtype=np.float32).reshape(rows.shape)
