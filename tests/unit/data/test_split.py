"""Which events are learnt from and which are predicted."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.split import HISTORY, TEST, TRAIN, VALID, given_parts, global_time, leave_one_out, period_starts
from genrec.errors import DataError
from tests.support.data_samples import T0_MS


def test_leave_one_out_of_known_sequences() -> None:
    users = np.repeat([0, 1, 2, 3], [1, 2, 3, 5])
    T, V, E = TRAIN, VALID, TEST
    assert leave_one_out(users).tolist() == [T, T, T, T, V, E, T, T, T, V, E]


def test_global_time_of_known_times() -> None:
    times = T0_MS + np.array([9, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    assert period_starts(times) == (T0_MS + 8, T0_MS + 9)
    assert global_time(times, period_starts(times)).tolist() == [TEST, *[TRAIN] * 8, VALID]


def test_the_periods_may_be_those_of_other_events() -> None:
    times = T0_MS + np.array([3, 8, 9, 30])
    assert global_time(times, (T0_MS + 8, T0_MS + 9)).tolist() == [TRAIN, VALID, TEST, TEST]
    with pytest.raises(DataError, match="no training event, none is before"):
        global_time(times, (T0_MS + 3, T0_MS + 9))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(T0_MS, T0_MS + 40), min_size=5, max_size=60))
def test_global_time_keeps_ties_together_and_orders_the_parts(times: list[int]) -> None:
    timestamps = np.array(times, dtype=np.int64)
    try:
        part = global_time(timestamps, period_starts(timestamps))
    except DataError:
        assert sorted(times)[len(times) * 8 // 10] == min(times)
        return
    for time in set(times):
        assert len(set(part[timestamps == time])) == 1
    order = np.argsort(timestamps, kind="stable")
    assert (np.diff(part[order]) >= 0).all()
    assert (part == TRAIN).sum() <= 0.8 * len(times)


def test_a_given_split_is_taken_as_the_event_types_name_it() -> None:
    parts = given_parts(pl.Series(["train", "test", "history", "valid", "train"]))
    assert parts.to_list() == [TRAIN, TEST, HISTORY, VALID, TRAIN]
    assert parts.dtype == pl.Int8
    with pytest.raises(DataError, match=r"prepare\.split: given .* 'purchase'"):
        given_parts(pl.Series(["train", "purchase"]))
