"""Tables that features are looked up in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import DataError
from genrec.rank.features.parts.tables import Tables, _rank_within, fit_tables
from genrec.recall.parts.scorer import Training
from tests.support.features_tiny import DAY, START, tables

EVENTS = st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=5), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 11)), min_size=1, max_size=6))
def test_events_before_a_moment_equal_their_definition(users, asked):
    users = [sorted(events, key=lambda event: event[1]) for events in users]
    data = Training(
        [np.array([item for item, _ in events], dtype=np.int64) for events in users],
        4,
        timestamps=[START + np.array([day for _, day in events], dtype=np.int64) * DAY for events in users],
    )
    if not any(users):
        return
    found = fit_tables(data)
    rows, moments = (np.array(part) for part in zip(*asked, strict=True))
    number, oldest, newest = found.events_before(rows, START + moments * DAY)
    for place, (item, moment) in enumerate(asked):
        before = [day for events in users for of, day in events if of == item and day < moment]
        assert number[place] == len(before)
        assert oldest[place] == (START + min(before) * DAY if before else -1)
        assert newest[place] == (START + max(before) * DAY if before else -1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 3)), max_size=9))
def test_a_position_is_the_share_of_the_others_of_a_group_with_less(pairs):
    group, values = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    found = _rank_within(values, group)
    for place, (of, value) in enumerate(pairs):
        others = [v for g, v in pairs if g == of]
        expected = np.nan if of < 0 else sum(v < value for v in others) / max(len(others) - 1, 1)
        np.testing.assert_allclose(found[place], expected, rtol=1e-6)


def test_other_items_have_a_row_of_their_own():
    made = tables()
    assert made.rows(np.array([0, 7, 8, 99, -1])).tolist() == [0, 7, 8, 8, 8]
    assert np.isnan(made.counts[8])
    assert (made.leaf[8], made.brand[8], made.is_head[8]) == (-1, -1, False)


def test_tables_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}: holds no readable index"):
        Tables.load(tmp_path)


def test_a_user_of_very_many_events_is_in_the_pairs_of_the_newest_ones_alone(monkeypatch):
    monkeypatch.setattr("genrec.rank.features.parts.tables._MOST_USER_ITEMS", 3)
    found = fit_tables(Training([np.arange(6), np.array([0, 1])], 6)).together.toarray()
    assert set(zip(*np.nonzero(np.triu(found)), strict=True)) == {(0, 1), (3, 4), (3, 5), (4, 5)}
