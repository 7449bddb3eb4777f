"""The event log on SQLite; tests/e2e/test_event_log.py has its promises on Postgres and under kills."""

import sqlite3
import threading
import traceback

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrec.event_log import (
    BadEvent,
    Event,
    EventConflict,
    EventLogError,
    LogBusy,
    LogCorrupt,
    LogFull,
    LogUnavailable,
    log_of_store,
    open_log,
)
from tests.support.event_logs import T_MS, Clock, clicks, items_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events" / "events.sqlite"


def test_what_was_appended_is_there_for_another_reader_and_after_reopening(path):
    with open_log(path) as log, open_log(path, create=False) as other:
        receipts = log.append([Event("u", "a", "click"), Event("v", "b", "purchase", T_MS, "e1", "r1")])
        assert [r.repeated for r in receipts] == [False, False]
        assert items_of(other, "u") == ["a"]
    with open_log(path, create=False) as again:
        (stored,) = again.history("v")
    assert (stored.event_id, stored.timestamp, stored.by_server, stored.request_id) == ("e1", T_MS, False, "r1")
    assert stored.sequence == receipts[1].sequence


def test_commits_go_to_the_disk_before_they_return(path):
    with open_log(path) as log, log._database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_sending_again_stores_nothing_and_gives_the_first_receipt(path):
    with open_log(path, clock=(clock := Clock())) as log:
        event = Event("u", "a", "click", event_id="e1")
        (first,) = log.append([event])
        clock.now_ms += 5000
        again = log.append([event, Event("u", "b", "click", event_id="e2"), Event("u", "b", "click", event_id="e2")])
        assert [(r.sequence == first.sequence, r.repeated) for r in again] == [
            (True, True),
            (False, False),
            (False, True),
        ]
        assert items_of(log, "u") == ["a", "b"]
        assert log.append([]) == []


@pytest.mark.parametrize(
    "other", [{"user_id": "v"}, {"item_id": "b"}, {"event": "purchase"}, {"timestamp": T_MS}, {"request_id": "r"}]
)
def test_an_id_used_for_another_event_is_refused_and_nothing_of_the_call_is_stored(path, other):
    first = {"user_id": "u", "item_id": "a", "event": "click", "event_id": "e1"}
    with open_log(path) as log:
        log.append([Event(**first)])
        with pytest.raises(EventConflict, match=next(iter(other))):
            log.append([Event("u", "z", "click"), Event(**{**first, **other})])
        with pytest.raises(EventConflict):
            log.append([Event(**{**first, "event_id": "e2"}), Event(**{**first, "event_id": "e2", **other})])
        assert items_of(log, "u") == ["a"]
        assert log.last_sequence() == 1


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(-10_000, 10_000), st.integers(0, 1)), min_size=1, max_size=12))
def test_no_event_is_lost_or_out_of_order_whatever_the_clock_does(tmp_path_factory, steps):
    clock = Clock()
    with open_log(tmp_path_factory.mktemp("clock") / "e.sqlite", clock=clock) as log:
        sent: dict[str, list[str]] = {"0": [], "1": []}
        for number, (change_ms, user) in enumerate(steps):
            clock.now_ms += change_ms
            log.append([Event(str(user), f"i{number}", "click")])
            sent[str(user)].append(f"i{number}")
        for user, items in sent.items():
            rows = log.history(user)
            assert [row.item_id for row in rows] == items
            times = [row.timestamp for row in rows]
            assert times == sorted(set(times))
        assert [row.item_id for row in log.read()] == [f"i{n}" for n in range(len(steps))]


def test_a_history_is_by_the_clients_times_then_by_arrival(path):
    with open_log(path, clock=Clock()) as log:
        log.append([Event("u", item, "click", T_MS + at) for item, at in [("c", 9), ("a", 1), ("d", 9), ("b", 5)]])
        assert items_of(log, "u") == ["a", "b", "c", "d"]
        assert [row.item_id for row in log.history("u", limit=2)] == ["c", "d"]
        assert log.history("nobody") == []
        with pytest.raises(BadEvent, match="user_id"):
            log.history("\ud800")


def test_a_client_far_ahead_of_the_clock_is_refused(path):
    with open_log(path, clock=Clock()) as log:
        with pytest.raises(BadEvent, match="a day after now"):
            log.append([Event("u", "a", "click", T_MS + 25 * 3600 * 1000)])
        assert log.last_sequence() == 0


def test_reading_goes_on_after_a_sequence_number_and_a_cut_stays_what_it_is(path):
    with open_log(path) as log:
        assert log.cut() == log.cut(0)
        log.append(clicks(*[("u", f"i{n}") for n in range(7)]))
        first = log.read(limit=3)
        rest = log.read(after_sequence=first[-1].sequence, limit=100)
        assert [r.item_id for r in first + rest] == [f"i{n}" for n in range(7)]
        cut = log.cut()
        assert (cut.until, cut.count) == (7, 7)
        log.append(clicks(("u", "new")))
        assert log.cut() != cut
        assert log.cut(until=7) == cut
        assert [r.item_id for chunk in log.read_all(until=7) for r in chunk] == [f"i{n}" for n in range(7)]


def test_a_log_that_another_writer_holds_is_busy_and_can_be_used_afterwards(path):
    with open_log(path, busy_timeout_s=0.05) as log:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogBusy, match="another writer"):
            log.append(clicks(("u", "a")))
        assert log.history("u") == []  # readers do not wait for writers
        holder.execute("ROLLBACK")
        holder.close()
        log.append(clicks(("u", "a")))
        assert items_of(log, "u") == ["a"]


def test_a_full_disk_is_said_and_nothing_is_stored_in_part(path):
    with open_log(path) as log:
        log.append(clicks(("u", "a")))

        @sa.event.listens_for(log._database.engine, "begin")
        def _no_more_pages(connection):
            connection.exec_driver_sql("PRAGMA max_page_count=1")  # SQLite takes it as: no page more than there are

        many = clicks(*[("some" + "one", f"{'x' * 400}{n}") for n in range(500)])
        with pytest.raises(LogFull, match=r"events\.sqlite.*full.*Free its disk") as error:
            log.append(many)
        said = "".join(traceback.format_exception(error.value))
        assert "someone" not in said  # no customer in what may be logged
        assert "xxx" not in said
        sa.event.remove(log._database.engine, "begin", _no_more_pages)
        log._database.engine.dispose()
        assert items_of(log, "u") == ["a"]
        log.append(clicks(("u", "b")))
        assert items_of(log, "u") == ["a", "b"]


@pytest.mark.parametrize("content", [b"no database at all, " * 400, b"SQLite format 3\x00" + b"\xff" * 8000])
def test_a_file_that_is_no_database_is_named_and_left_as_it_is(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(LogCorrupt, match=r"events\.sqlite.*left as it is"):
        open_log(path)
    assert path.read_bytes() == content


def test_a_truncated_log_is_corrupt_and_left_as_it_is(path):
    with open_log(path) as log:
        log.append(clicks(*[("u", f"{'x' * 200}{n}") for n in range(200)]))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LogCorrupt, match=r"events\.sqlite"), open_log(path) as log:
        log.append(clicks(("u", "a")))
    assert path.read_bytes() == whole[: len(whole) // 2]


def test_a_database_of_something_else_is_not_written_to(path):
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE customers (name)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(LogCorrupt, match="customers"):
        open_log(path)
    assert sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]
    assert path.read_bytes() == before


def test_a_log_of_another_format_is_refused(path):
    open_log(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE genrec_event_log SET format = 2")
    connection.commit()
    connection.close()
    with pytest.raises(EventLogError, match="format 2"):
        open_log(path)


def test_a_reader_does_not_make_a_log(path):
    with pytest.raises(EventLogError, match="no such file"):
        open_log(path, create=False)
    assert not path.exists()
    path.parent.mkdir()
    path.touch()
    with pytest.raises(EventLogError, match="no events yet"):
        open_log(path, create=False)


@pytest.mark.parametrize(
    ("place", "says"),
    [("mysql://a/b", "mysql://"), ("postgresql://host:port/db", "cannot be read"), (".", "is a folder")],
)
def test_a_place_that_is_none_is_refused_in_a_line(place, says):
    with pytest.raises(EventLogError, match=says):
        open_log(place)


def test_a_server_that_does_not_answer_is_unavailable_and_its_password_is_not_said():
    with pytest.raises(LogUnavailable) as error:
        open_log("postgresql://me:hunter2secret@127.0.0.1:1/db", busy_timeout_s=1)
    assert "hunter2secret" not in str(error.value)
    assert "127.0.0.1" in str(error.value)


def test_threads_that_append_at_once_lose_and_double_nothing(path):
    with open_log(path, busy_timeout_s=60) as log:

        def send(thread: int) -> None:
            for n in range(15):
                log.append([Event(f"u{n % 3}", f"t{thread}-{n}", "click", event_id=f"{thread}-{n}")])
                log.history("u0")

        threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rows = log.read(limit=1000)
    assert sorted(r.event_id for r in rows) == sorted(f"{t}-{n}" for t in range(4) for n in range(15))
    assert [r.sequence for r in rows] == sorted({r.sequence for r in rows})


def test_the_log_of_a_store_lies_in_it(tmp_path):
    assert log_of_store(tmp_path).parent.parent == tmp_path


@pytest.mark.parametrize("was_written", [True, False])
def test_nothing_is_acknowledged_that_goes_to_a_removed_file(tmp_path, was_written):
    place, aside = tmp_path / "events.sqlite", tmp_path / "aside"
    with open_log(place) as log:
        log.append([Event("u", "i", "click")])
    with open_log(place) as log:
        if was_written:
            log.append([Event("u", "i", "click")])
        place.rename(aside)
        with pytest.raises(LogUnavailable, match="removed or replaced while it was in use; nothing was stored"):
            log.append([Event("u", "j", "click")])
        aside.rename(place)  # over an empty one that SQLite may have made
        log.append([Event("u", "k", "click")])
    with open_log(place) as log:
        assert [event.item_id for event in log.history("u")] == ["i"] * (1 + was_written) + ["k"]


def test_a_history_can_be_the_newest_of_some_types_alone(tmp_path):
    with open_log(tmp_path / "events.sqlite") as log:
        log.append([Event("u", f"i{n}", "click" if n % 2 else "view", T_MS + n) for n in range(10)])
        assert [event.item_id for event in log.history("u", 2, {"click", "purchase"})] == ["i7", "i9"]
        assert log.history("u", 2, set()) == []
