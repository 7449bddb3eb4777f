"""The event log under kills, with several writers, and on Postgres; retraining from it killed in the middle."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from genrec.event_log import Event, EventConflict, LogBusy, LogUnavailable, open_log
from tests.support.event_logs import Clock, clicks, items_of, postgres
from tests.support.ingest_with_log import FILE_ROWS, quarantine_of, rows_of, run_ingest, write_shop

pytestmark = pytest.mark.slow

WRITER = """
import sys
from genrec.event_log import Event, open_log
log = open_log(sys.argv[1], busy_timeout_s=60)
for n in range(int(sys.argv[3])):
    log.append([Event("u", f"{sys.argv[2]}-{n}", "click", event_id=f"{sys.argv[2]}-{n}")])
    print(n, flush=True)
"""


def start_writer(place, name, number):
    command = [sys.executable, "-c", WRITER, str(place), name, str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def server():
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    if request.param == "sqlite":
        return tmp_path / "events.sqlite"
    import sqlalchemy as sa

    url = request.getfixturevalue("server")
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS genrec_events, genrec_event_log")
    engine.dispose()
    return url


def test_processes_that_make_a_log_and_write_at_once_lose_and_double_nothing(place):
    writers = [start_writer(place, name, 40) for name in "abc"]
    assert [writer.wait(300) for writer in writers] == [0, 0, 0]
    with open_log(place, create=False) as log:
        rows = log.read(limit=1000)
    assert sorted(row.event_id for row in rows) == sorted(f"{name}-{n}" for name in "abc" for n in range(40))
    for name in "abc":  # each writer's in its order
        assert [row.item_id for row in rows if row.item_id.startswith(name)] == [f"{name}-{n}" for n in range(40)]


def test_what_was_acknowledged_before_a_kill_is_there(place):
    writer = start_writer(place, "a", 10_000)
    acknowledged = [int(writer.stdout.readline()) for _ in range(20)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.communicate()[0].split()]
    with open_log(place) as log:
        there = [row.item_id for row in log.read(limit=20_000)]
        assert len(there) - len(acknowledged) in (0, 1)  # the one in flight
        assert there == [f"a-{n}" for n in range(len(there))]
        log.append(clicks(("u", "afterwards")))


def test_a_reader_that_follows_the_log_passes_over_nothing(place):
    """Sequence numbers become visible in their order, also where transactions overlap."""
    with open_log(place, busy_timeout_s=60) as log:
        done = threading.Event()

        def send(name):
            for n in range(60):
                log.append([Event("u", f"{name}{n}", "click")])

        writers = [threading.Thread(target=send, args=(name,)) for name in "ab"]
        seen: list[str] = []

        def follow():
            last = 0
            while True:
                ended = done.is_set()
                rows = log.read(last, limit=7)
                seen.extend(row.item_id for row in rows)
                last = rows[-1].sequence if rows else last
                if ended and not rows:
                    return

        reader = threading.Thread(target=follow)
        for thread in [reader, *writers]:
            thread.start()
        for writer in writers:
            writer.join()
        done.set()
        reader.join()
        assert sorted(seen) == sorted(f"{name}{n}" for name in "ab" for n in range(60))


def test_postgres_keeps_the_promises_of_sqlite(server, place):
    clock = Clock()
    with open_log(place, clock=clock, busy_timeout_s=0.2) as log:
        first = log.append([Event("u", "ä", "click", event_id="e1")])
        clock.now_ms -= 10_000
        assert log.append([Event("u", "ä", "click", event_id="e1")])[0].sequence == first[0].sequence
        log.append(clicks(("u", "b"), ("u", "c")))
        assert items_of(log, "u") == ["ä", "b", "c"]
        cut = log.cut()
        with pytest.raises(EventConflict):
            log.append([Event("u", "z", "click"), Event("v", "ä", "click", event_id="e1")])
        assert log.cut() == cut
        with open_log(place) as other, other._database.writing(), pytest.raises(LogBusy, match="another writer"):
            log.append(clicks(("u", "d")))
        log.append(clicks(("u", "d")))
        assert items_of(log, "u") == ["ä", "b", "c", "d"]


def test_a_database_that_is_not_there_is_unavailable(server):
    with pytest.raises(LogUnavailable, match="nowhere"):
        open_log(server.replace("/postgres", "/nowhere"))


@pytest.mark.parametrize("came_meanwhile", [False, True])
def test_a_run_killed_in_the_middle_of_ingest_and_resumed_neither_loses_nor_doubles(tmp_path, came_meanwhile):
    write_shop(tmp_path)
    with open_log(tmp_path / "events.sqlite", busy_timeout_s=60) as log:
        log.append(clicks(*[("u1", f"n{n}") for n in range(50)]))
        command = [sys.executable, "-m", "tests.support.ingest_with_log", str(tmp_path)]
        run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        while "merging" not in (line := run.stdout.readline()):
            assert line, "ingest did not begin"
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        expected = [f"n{n}" for n in range(50)]
        if came_meanwhile:
            log.append(clicks(("u1", "late")))
            expected.append("late")
        artifact, status = run_ingest(tmp_path)
    assert status == "computed"
    assert [row[1] for row in rows_of(artifact) if row not in FILE_ROWS] == expected
    assert len(rows_of(artifact)) == len(FILE_ROWS) + len(expected)
    assert quarantine_of(artifact) == []
    assert run_ingest(tmp_path)[1] == "cached"
