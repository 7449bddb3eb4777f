"""Lists and entries of sparse matrices equal those of dense ones."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genrec.recall.parts.ranking import top_k
from genrec.recall.parts.sparse import blocks, entries, keep_largest, sparse_best, sparse_top

DENSE = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.sampled_from([-1, 0, 0, 1, 2])
)


@settings(max_examples=60, deadline=None)
@given(DENSE, st.integers(1, 9), st.data())
def test_sparse_lists_are_the_positive_ones_of_dense_ranking(dense, n, data):
    banned = [
        data.draw(st.lists(st.integers(0, dense.shape[1] - 1), max_size=4), label="banned") for _ in range(len(dense))
    ]
    expected = np.where(dense > 0, dense, -np.inf).astype(np.float32)
    for row, left_out in enumerate(banned):
        expected[row, left_out] = -np.inf
    found = sparse_top(sp.csr_array(dense), n, banned)
    for one, other in zip(found, top_k(expected, n), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=40, deadline=None)
@given(DENSE, st.data())
def test_entries_are_those_of_the_dense_matrix(dense, data):
    places = st.lists(st.tuples(st.integers(0, dense.shape[0] - 1), st.integers(0, dense.shape[1] - 1)), max_size=9)
    rows, columns = np.array(data.draw(places), dtype=np.int64).reshape(-1, 2).T
    np.testing.assert_array_equal(entries(sp.csr_array(dense), rows, columns), dense[rows, columns])


@settings(max_examples=60, deadline=None)
@given(DENSE, st.data())
def test_the_best_of_a_sparse_matrix_are_those_of_the_dense_one(dense, data):
    n = data.draw(st.integers(1, dense.shape[1]))
    for one, other in zip(sparse_best(sp.csr_array(np.abs(dense)), n), top_k(np.abs(dense), n), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=30, deadline=None)
@given(DENSE, st.integers(1, 9))
def test_rows_too_wide_for_memory_are_listed_in_halves(dense, n):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genrec.recall.parts.sparse._CELLS", 4)
        found = sparse_top(sp.csr_array(dense), n)
    for one, other in zip(found, sparse_top(sp.csr_array(dense), n), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(DENSE, st.integers(0, 8))
def test_the_largest_entries_of_a_row_are_kept_of_equals_the_first(dense, k):
    kept = keep_largest(sp.csr_array(dense), k).toarray()
    for row, found in zip(dense, kept, strict=True):
        stored = sorted(np.flatnonzero(row), key=lambda column: (-row[column], column))[:k]
        expected = np.zeros_like(row)
        expected[stored] = row[stored]
        np.testing.assert_array_equal(found, expected)


@given(st.lists(st.integers(0, 20), max_size=12), st.integers(1, 30))
def test_blocks_cover_all_rows_in_order_and_cost_no_more_than_allowed(costs, most):
    parts = list(blocks(np.array(costs, dtype=np.int64), most))
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(len(costs)))
    assert all(sum(costs[part]) <= most or part.stop - part.start == 1 for part in parts)
