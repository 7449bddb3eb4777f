"""Lists and single scores from sparse matrices, without a dense matrix of users and items."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.recall.parts.ranking import top_k
from genrec.recall.parts.scorer import History, flatten, positions


def sparse_top(
    matrix: sp.csr_array, n: int, banned: Sequence[History] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The n largest positive entries of each row: (columns int32 [b, n], values float32 [b, n]), padded -1 / -inf.

    Equal values are ordered by the lower column, as `top_k` orders them. `banned` columns of a row are left out.
    """
    num_rows, num_columns = matrix.shape
    matrix.sum_duplicates()
    rows = np.repeat(np.arange(num_rows), np.diff(matrix.indptr))
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
