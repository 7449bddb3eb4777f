import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.sid.prefixes import distinct_prefixes


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(1, 60),
    num_levels=st.integers(1, 9),
    num_codes=st.sampled_from([1, 3, 256, 32768]),
)
def test_prefixes_are_those_of_numpy(seed, num_rows, num_levels, num_codes):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, num_codes, (max(1, num_rows // 3), num_levels)).astype(np.int32)
    codes = codes[rng.integers(0, len(codes), num_rows)]  # repeats, whatever the number of ids
    rows, of_row, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    found = distinct_prefixes(codes)
    np.testing.assert_array_equal(found.codes, rows)
    np.testing.assert_array_equal(found.of_row, of_row.reshape(-1))
    np.testing.assert_array_equal(found.counts, counts)


@pytest.mark.parametrize("num_levels", [0, 2])
def test_without_items_there_is_no_prefix(num_levels):
    found = distinct_prefixes(np.empty((0, num_levels), dtype=np.int32))
    assert [len(part) for part in found] == [0, 0, 0]
