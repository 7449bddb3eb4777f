"""Which events are learnt from and which are predicted."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.split import (
    HISTORY,
    TEST,
    TRAIN,
    VALID,
    given_parts,
    global_time,
    leave_one_out,
    order_statistics,
    period_starts,
)
from genrec.errors import DataError
from tests.support.data_samples import T0_MS


def test_leave_one_out_of_known_sequences() -> None:
    counts = np.repeat([1, 2, 3, 5], [1, 2, 3, 5])
    place = np.concatenate([np.arange(number) for number in (1, 2, 3, 5)])
    T, V, E = TRAIN, VALID, TEST
    assert leave_one_out(place, counts).tolist() == [T, T, T, T, V, E, T, T, T, V, E]


def test_global_time_of_known_times() -> None:
    times = T0_MS + np.array([9, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    starts = period_starts(lambda: [times[:3], times[3:]])
    assert starts == (T0_MS + 8, T0_MS + 9)
    assert global_time(times, starts).tolist() == [TEST, *[TRAIN] * 8, VALID]


def test_the_periods_may_be_those_of_other_events() -> None:
    times = T0_MS + np.array([3, 8, 9, 30])
    assert global_time(times, (T0_MS + 8, T0_MS + 9)).tolist() == [TRAIN, VALID, TEST, TEST]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(T0_MS, T0_MS + 40), min_size=5, max_size=60))
def test_global_time_keeps_ties_together_and_orders_the_parts(times: list[int]) -> None:
    timestamps = np.array(times, dtype=np.int64)
    part = global_time(timestamps, period_starts(lambda: [timestamps]))
    for time in set(times):
        assert len(set(part[timestamps == time])) == 1
    order = np.argsort(timestamps, kind="stable")
    assert (np.diff(part[order]) >= 0).all()
    assert (part == TRAIN).sum() <= 0.8 * len(times)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**40), 2**40) | st.integers(0, 9), min_size=1, max_size=40), st.data())
def test_order_statistics_are_the_values_at_the_places_when_sorted(values: list[int], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=3))
    pieces = [np.array(values[n : n + 7], dtype=np.int64) for n in range(0, len(values), 7)]
    found = order_statistics(lambda: pieces, lambda number: places if number == len(values) else [])
    assert found == [sorted(values)[place] for place in places]


def test_a_given_split_is_taken_as_the_event_types_name_it() -> None:
    parts = given_parts(pl.Series(["train", "test", "history", "valid", "train"]))
    assert parts.to_list() == [TRAIN, TEST, HISTORY, VALID, TRAIN]
    assert parts.dtype == pl.Int8
    with pytest.raises(DataError, match=r"prepare\.split: given .* 'purchase'"):
        given_parts(pl.Series(["train", "purchase"]))
