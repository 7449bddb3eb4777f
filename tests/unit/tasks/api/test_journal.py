"""Changes of the catalogue on the disk."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.event_log import LogBusy, open_log
from genrec.event_log.database import Database
from tasks.api.journal import Change, Journal, merged
from tests.support.event_logs import postgres

item_ids = st.sampled_from(["a", "b", "c"])
changes = st.fixed_dictionaries(
    {"stock": st.dictionaries(item_ids, st.booleans()), "items": st.lists(item_ids.map(lambda i: {"item_id": i, "title": i}), max_size=2)}
)  # fmt: skip


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def test_changes_come_back_in_order_and_from_a_number_on(tmp_path, kind):
    with contextlib.nullcontext(str(tmp_path / "log.sqlite")) if kind == "sqlite" else postgres() as place:
        come_back_in_order(place)


def come_back_in_order(place: str) -> None:
    open_log(place).close()
    journal = Journal(Database(place, True, 1.0))
    assert journal.after(0) == (0, Change({}, []))
    new = {"item_id": "n", "title": "New", "description": "", "brand": "", "categories": ["Mugs"]}
    before, first = journal.append(Change({"a": False}, []))
    numbers = [first, journal.append(Change({"a": True, "b": False}, [new]))[1]]
    assert (before, numbers[0] < numbers[1]) == (0, True)
    journal.close()
    reopened = Journal(Database(place, True, 1.0))
    assert reopened.after(0) == (numbers[1], Change({"a": True, "b": False}, [new]))
    assert reopened.after(numbers[0]) == (numbers[1], Change({"a": True, "b": False}, [new]))
    assert reopened.after(numbers[1]) == (numbers[1], Change({}, []))
    reopened.close()
    open_log(place).close()  # the log still is one


def test_a_database_that_another_holds_is_said_to_be_busy(tmp_path):
    place = str(tmp_path / "log.sqlite")
    journal = Journal(Database(place, True, 0.05))
    other = Database(place, True, 0.05)
    with other.writing(), pytest.raises(LogBusy):
        journal.append(Change({"a": False}, []))
    assert journal.append(Change({"a": False}, [])) == (0, 1)
    journal.close()
    other.engine.dispose()


@given(st.lists(changes, max_size=5), st.integers(0, 5))
def test_changes_taken_in_two_steps_are_those_taken_at_once(every, cut):
    whole = merged(every)
    steps = [merged(every[:cut])._asdict(), merged(every[cut:])._asdict()]
    assert merged(steps) == whole


def test_new_items_stay_in_the_order_in_which_they_came_in():
    every = [{"stock": {}, "items": [{"item_id": i, "title": i}]} for i in "cab"]
    assert [item["item_id"] for item in merged(every).items] == ["c", "a", "b"]
