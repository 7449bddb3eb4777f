"""Lists and entries of sparse matrices equal those of dense ones."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genrec.recall.parts.ranking import top_k
from genrec.recall.parts.sparse import entries, sparse_top

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
