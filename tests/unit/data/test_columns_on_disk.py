"""Numbers are counted wherever they lie."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.columns_on_disk import add_counts


@given(numbers=st.lists(st.integers(0, 2000), max_size=40), start=st.integers(0, 3))
def test_counts_are_added_of_near_and_of_scattered_numbers(numbers: list[int], start: int) -> None:
    counts = np.full(2001, start, dtype=np.int32)
    add_counts(counts, np.array(numbers, dtype=np.int32))
    assert counts.tolist() == [start + numbers.count(number) for number in range(2001)]
