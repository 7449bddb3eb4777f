"""Users' sequences out of prepared data, and together with the event log."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.split import TEST, TRAIN, VALID
from genrec.tables import (
    CATALOGUE_FILE,
    HISTORIES_FILE,
    TEST_FILE,
    TRAIN_FILE,
    USERS_FILE,
    VALID_FILE,
)
from tasks.api.histories import Seen, UserHistories, together

EVENTS = {  # user id -> (item, time, part)
    "anna": [(0, 10, TRAIN), (2, 20, TRAIN), (1, 30, VALID), (3, 40, TEST)],
    "bea": [(1, 5, TRAIN), (1, 6, TRAIN)],
    "cléo": [(3, 7, TRAIN), (0, 7, VALID), (2, 9, TEST)],
    "dora": [(2, 1, TRAIN)],
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepare artifact of EVENTS: bea and dora have no targets."""
    folder = tmp_path_factory.mktemp("prepared")
    users = sorted(EVENTS)
    USERS_FILE.write(pa.table({"user": range(len(users)), "user_id": users}), folder)
    ids = [f"i{n}" for n in range(4)]
    texts = {name: [""] * 4 for name in ("title", "description", "brand")}
    items = {"item": range(4), "item_id": ids, **texts, "categories": [[]] * 4, "train_count": [1] * 4}
    CATALOGUE_FILE.write(pa.Table.from_pydict(items, schema=CATALOGUE_FILE.schema), folder)
    train, histories, targets = [], [], {VALID: [], TEST: []}
    for user, user_id in enumerate(users):
        events = EVENTS[user_id]
        learnt = [e for e in events if e[2] == TRAIN]
        train.append({"user": user, "user_id": user_id, **sequence(learnt)})
        if any(e[2] != TRAIN for e in events):
            histories.append({"user": user, **sequence(events[:-1])})
        for place, (item, time, part) in enumerate(events):
            if part != TRAIN:
                row = {"user": user, "history_length": place, "target": item, "target_event": "click"}
                targets[part].append({**row, "timestamp": time})
    for file, rows in ((TRAIN_FILE, train), (HISTORIES_FILE, histories), (VALID_FILE, targets[VALID]), (TEST_FILE, targets[TEST])):  # fmt: skip
        file.write(pa.Table.from_pylist(rows, schema=file.schema), folder)
    return folder


def sequence(events):
    return {
        "items": [e[0] for e in events],
        "events": ["click"] * len(events),
        "timestamps": [e[1] for e in events],
    }


def test_every_users_whole_sequence_comes_back_targets_included(prepared):
    histories = UserHistories(prepared)
    for user_id, events in EVENTS.items():
        assert histories(user_id) == [Seen(time, f"i{item}") for item, time, _ in events]


@pytest.mark.parametrize("user_id", ["", "ann", "annab", "zzz", "CLÉO"])
def test_a_user_that_the_data_lacks_has_no_events(prepared, user_id):
    assert UserHistories(prepared)(user_id) == []


seen = st.lists(st.builds(Seen, st.integers(0, 9), st.sampled_from(["i1", "i2"])), max_size=6).map(sorted)


@given(seen, seen)
def test_the_data_and_the_log_together_are_in_order_and_hold_what_both_have_once(before, logged):
    merged = together(before, logged, dedupe=False)
    assert len(merged) == len(before) + len([s for s in logged if s not in before])
    assert together(before, before, dedupe=False) == [s.item_id for s in before]
    assert together([], logged, dedupe=False) == [s.item_id for s in logged]


def test_an_event_of_the_log_is_behind_those_of_the_data_that_are_older():
    before, logged = [Seen(1, "a"), Seen(5, "b")], [Seen(3, "c"), Seen(5, "b"), Seen(9, "d")]
    assert together(before, logged, dedupe=False) == ["a", "c", "b", "d"]


def test_of_an_item_that_came_again_the_first_event_counts_in_the_data_or_in_the_log():
    before, logged = [Seen(1, "a"), Seen(5, "b")], [Seen(0, "b"), Seen(3, "c"), Seen(6, "a"), Seen(9, "c")]
    assert together(before, logged, dedupe=True) == ["b", "a", "c"]
