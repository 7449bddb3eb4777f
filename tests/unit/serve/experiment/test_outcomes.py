"""Which list an event falls on, and what a user counts with."""

import polars as pl
import pyarrow as pa
import pytest

from genrec.event_log import Stored
from genrec.serve.experiment import Experiment
from genrec.serve.experiment.impressions import IMPRESSIONS
from genrec.serve.experiment.outcomes import GRACE_MS, event_frame, lists_with_outcomes, users_with_outcomes
from tests.support.event_logs import T_MS

HOUR = 3_600_000


def shown(request_id, user, at, items="ab", arm="control", teams=None, share=0.5):
    return {
        "request_id": request_id, "user_id": user, "shown_at": T_MS + at, "arm": arm, "share": share, "items": list(items),
        "teams": teams, "model_key": "",
    }  # fmt: skip


def event(user, item, at, kind="click", request_id=None):
    return Stored(1, "", user, item, kind, 0, T_MS + at, True, request_id)


def counts(lists, events, column="click", hours=1.0):
    table = pa.Table.from_pylist(lists, schema=IMPRESSIONS)
    frame = lists_with_outcomes(table, event_frame(events), hours)
    return dict(zip(frame["request_id"], frame[column], strict=True))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], [0, 0]),
        ([event("u", "a", 5, request_id="r1")], [1, 0]),  # by its request id
        ([event("u", "a", 25, request_id="r1")], [1, 0]),  # also after the next list
        ([event("u", "a", 25)], [0, 1]),  # without: the newest list with the item
        ([event("u", "a", 15)], [1, 0]),
        ([event("u", "z", 25)], [0, 0]),  # was not shown
        ([event("v", "a", 25)], [0, 0]),  # not to this user
        ([event("v", "a", 25, request_id="r1")], [0, 0]),
        ([event("u", "a", -5)], [0, 0]),  # before it was shown
        ([event("u", "a", 25, request_id="gone")], [0, 1]),  # an unknown request: as without
        ([event("u", "c", 25, request_id="r1")], [0, 1]),  # the item was in another list
        ([event("u", "a", 20 + HOUR + 1)], [0, 0]),  # after the window
        ([event("u", "a", 25, "wishlist")], [0, 0]),
        ([event("u", "a", 5), event("u", "b", 6, request_id="r1")], [2, 0]),
    ],
)
def test_an_event_falls_on_one_list(events, expected):
    lists = [shown("r1", "u", 0, "ab"), shown("r2", "u", 20, "ac")]
    assert list(counts(lists, events).values()) == expected


def test_purchases_are_counted_beside_clicks_and_empty_lists_are_lists():
    lists = [shown("r1", "u", 0), shown("r2", "v", 0, items="")]
    events = [event("u", "a", 1), event("u", "a", 2, "purchase")]
    assert counts(lists, events) == {"r1": 1, "r2": 0}
    assert counts(lists, events, "purchase") == {"r1": 1, "r2": 0}


def test_a_request_id_that_is_used_again_stands_for_the_newest_list():
    table = pa.Table.from_pylist([shown("r", "u", 0), shown("r", "u", 20), shown("r", "v", 30)], schema=IMPRESSIONS)
    frame = lists_with_outcomes(table, event_frame([event("u", "a", 25, request_id="r")]), 1.0)
    assert frame.select("user_id", "click").rows() == [("u", 0), ("u", 1), ("v", 0)]


def test_events_on_interleaved_lists_are_credited_to_the_team_of_the_item():
    teams = ["candidate", "control", None]
    lists = [shown("r1", "u", 0, "abc", "interleaved", teams)]
    events = [event("u", item, 1) for item in "aabc"]
    assert counts(lists, events) == {"r1": 4}
    assert counts(lists, events, "click_candidate") == {"r1": 2}
    assert counts(lists, events, "click_control") == {"r1": 1}


def users(lists, events, now, **settings):
    experiment = Experiment("e", "latest", 0.5, window_hours=1.0, **settings)
    table = pa.Table.from_pylist(lists, schema=IMPRESSIONS)
    frame = lists_with_outcomes(table, event_frame(events), 1.0)
    return users_with_outcomes(frame, experiment, T_MS + now)


def test_a_user_counts_once_all_is_over_and_never_changes_afterwards():
    lists = [shown("r1", "u", 0), shown("r2", "u", HOUR - 1), shown("r3", "u", HOUR), shown("r4", "v", 10)]
    events = [event("u", "a", HOUR, request_id="r2"), event("u", "a", HOUR, request_id="r3")]
    end = 2 * HOUR + GRACE_MS
    assert users(lists, events, end - 1).height == 0
    first = users(lists, events, end)
    assert first.select("user_id", "lists", "click").rows() == [("u", 2, 0.5)]  # r3 came after the user's window
    later = users(lists, [*events, event("u", "a", end, request_id="r1")], 10 * HOUR)
    assert later.rows()[0] == first.rows()[0]
    assert later["user_id"].to_list() == ["u", "v"]


def test_a_users_arm_is_that_of_the_first_list():
    lists = [shown("r1", "u", 0, share=0.1), shown("r2", "u", 5, arm="candidate", share=0.9)]
    assert users(lists, [], 10 * HOUR).select("arm", "share", "lists").rows() == [("control", 0.1, 2)]


def test_a_user_prefers_the_team_that_wins_more_lists():
    teams = ["candidate", "control"]
    lists = [shown(f"r{n}", "u", n, "ab", "interleaved", teams) for n in range(4)]
    events = [event("u", item, 9, request_id=r) for r, item in [("r0", "a"), ("r0", "a"), ("r1", "a"), ("r2", "b")]]
    (wins,) = users(lists, events, 10 * HOUR)["click_wins"]
    assert wins == pytest.approx((1 + 1 - 1 + 0) / 4)


def test_no_events_are_a_frame_too():
    assert event_frame([]).schema["received_at"] == pl.Int64
