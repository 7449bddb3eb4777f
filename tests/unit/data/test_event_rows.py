"""The event log as a source beside the files: each event once, none lost, and a key that follows the events."""

import shutil
import sqlite3

import pytest

from genrec.data import event_rows
from genrec.errors import DataError
from genrec.event_log import Event, open_log
from tasks.checks import check_outside
from tasks.stages.ingest import ingest
from tests.support.event_logs import T_MS, Clock, clicks
from tests.support.ingest_with_log import FILE_ROWS, config_of, quarantine_of, rows_of, run_ingest, write_shop


@pytest.fixture
def shop(tmp_path):
    write_shop(tmp_path)
    with open_log(tmp_path / "events.sqlite", clock=Clock(T_MS + 1000)) as log:
        yield tmp_path, log


def key(folder, **data):
    return ingest.key(config_of(folder, **data), {})[0]


def test_events_of_the_log_and_of_the_files_are_read_each_once(shop):
    folder, log = shop
    log.append([Event("u1", "i9", "click"), Event("u3", "i1", "purchase", T_MS + 7)])
    artifact, _ = run_ingest(folder)
    new = [("u1", "i9", T_MS + 1000, "click"), ("u3", "i1", T_MS + 7, "purchase")]
    assert sorted(rows_of(artifact)) == sorted(FILE_ROWS + new)
    assert quarantine_of(artifact) == []
    assert artifact.summary["changes"] == {}


def test_an_event_in_a_file_and_in_the_log_counts_once_and_is_no_bad_row(shop):
    folder, log = shop
    log.append([Event(user, item, event, at) for user, item, at, event in FILE_ROWS])
    log.append([Event("u1", "i1", "purchase", T_MS), Event("u1", "i1", "click", T_MS + 1)])
    artifact, _ = run_ingest(folder)
    new = [("u1", "i1", T_MS, "purchase"), ("u1", "i1", T_MS + 1, "click")]
    assert sorted(rows_of(artifact)) == sorted(FILE_ROWS + new)
    assert quarantine_of(artifact) == []
    assert artifact.summary["changes"] == {"events_in_both": 3}


def test_the_key_changes_when_an_event_came_and_not_when_none_did(shop):
    folder, log = shop
    empty = key(folder)
    assert key(folder) == empty
    log.append(clicks(("u1", "i1")))
    one = key(folder)
    assert one != empty
    assert key(folder) == one
    log.append([Event("u1", "i2", "click", event_id="e")])
    two = key(folder)
    log.append([Event("u1", "i2", "click", event_id="e")])  # sent again
    assert key(folder) == two
    assert key(folder, events_until=1) == one


def test_the_key_without_an_event_log_is_what_it_was_and_does_not_know_where_a_log_lies(shop):
    folder, log = shop
    _, reads, _ = ingest.key(config_of(folder, events=None), {})
    assert not {"events", "events_until", "event_log"} & reads.keys()
    log.append(clicks(("u1", "i1")))
    log.close()
    shutil.copy(folder / "events.sqlite", folder / "moved.sqlite")
    assert key(folder, events=str(folder / "moved.sqlite")) == key(folder)


def test_a_second_run_is_cached_until_an_event_comes(shop):
    folder, log = shop
    log.append(clicks(("u1", "i9")))
    assert [run_ingest(folder)[1] for _ in range(2)] == ["computed", "cached"]
    log.append(clicks(("u1", "i8")))
    artifact, status = run_ingest(folder)
    assert (status, len(rows_of(artifact))) == ("computed", len(FILE_ROWS) + 2)


def test_events_that_come_while_ingest_runs_wait_for_the_next_run(shop, monkeypatch):
    folder, log = shop
    log.append(clicks(("u1", "i9")))
    export = event_rows.export

    def late(*arguments):
        log.append(clicks(("u1", "late")))
        return export(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(event_rows, "export", late)
        artifact, _ = run_ingest(folder)
    assert [row[1] for row in rows_of(artifact) if row not in FILE_ROWS] == ["i9"]
    artifact, status = run_ingest(folder)
    assert (status, {row[1] for row in rows_of(artifact)}) == ("computed", {"i1", "i2", "i9", "late"})


def test_bad_rows_of_the_log_are_set_aside_by_the_same_rules(shop):
    folder, log = shop
    log.append(clicks(("u1", "i9")))
    other = sqlite3.connect(folder / "events.sqlite")  # something that wrote past the rules
    columns = "event_id, user_id, item_id, event, timestamp, received_at, by_server"
    rows = [
        ("a", " ", "i1", "click", T_MS),
        ("b", "u1", "nan", "click", T_MS),
        ("c", "u1", "i1", "click", 5),
        ("d", "u1", "i1", "Click ", T_MS + 3),
    ]
    for row in rows:
        other.execute(f"INSERT INTO genrec_events ({columns}) VALUES (?, ?, ?, ?, ?, 0, 0)", row)
    other.commit()
    artifact, _ = run_ingest(folder, max_quarantine_share=0.5)
    assert {(row["file"], row["line"], row["reason"]) for row in quarantine_of(artifact)} == {
        ("event log", 2, "missing_user"),
        ("event log", 3, "missing_item"),
        ("event log", 4, "bad_timestamp"),
    }
    assert ("u1", "i1", T_MS + 3, "click") in rows_of(artifact)
    with pytest.raises(DataError, match="max_quarantine_share"):
        run_ingest(folder, max_quarantine_share=0.01)


def test_a_log_is_no_company_for_positions(shop):
    folder, log = shop
    (folder / "shop" / "interactions.csv").write_text("user_id,item_id,timestamp\nu1,i1,1\nu1,i2,2\n")
    log.append(clicks(("u1", "i9")))
    with pytest.raises(DataError, match="positions"):
        run_ingest(folder)


def test_a_log_whose_events_of_the_cut_changed_is_said(shop, tmp_path):
    folder, log = shop
    log.append(clicks(("u1", "i9"), ("u1", "i8")))
    cut = event_rows.cut_to_read(config_of(folder).data)
    other = sqlite3.connect(folder / "events.sqlite")
    other.execute("DELETE FROM genrec_events WHERE item_id = 'i9'")
    other.commit()
    with pytest.raises(DataError, match="held 2 events"):
        event_rows.export(config_of(folder).data, cut, tmp_path)


@pytest.mark.parametrize("content", [None, b"no database" * 999])
def test_a_log_that_cannot_be_read_is_said_before_the_run_begins(shop, content):
    folder, _ = shop
    missing = folder / "elsewhere.sqlite"
    if content:
        missing.write_bytes(content)
    config = config_of(folder, events=str(missing)).model_copy(update={"store": str(folder / "store")})
    with pytest.raises(DataError, match=r"data\.events: .*elsewhere\.sqlite"):
        check_outside(config)


def test_runs_that_are_compared_read_the_same_events(shop):
    folder, log = shop
    log.append(clicks(("u1", "i9")))
    plain, fixed = config_of(folder, events=None).data, config_of(folder, events_until=0).data
    first, second, *others = event_rows.up_to_now([config_of(folder).data] * 2 + [plain, fixed])
    log.append(clicks(("u1", "late")))
    assert first == second
    assert event_rows.cut_to_read(first).count == 1
    assert others == [plain, fixed]


def test_many_events_are_read_in_groups(shop, monkeypatch):
    folder, log = shop
    log.append(clicks(*[("u1", f"n{n}") for n in range(23)]))
    monkeypatch.setattr(event_rows, "GROUP_ROWS", 5)
    monkeypatch.setattr("genrec.event_log.log.CHUNK_ROWS", 4)
    artifact, _ = run_ingest(folder)
    assert [row[1] for row in rows_of(artifact) if row[1].startswith("n")] == [f"n{n}" for n in range(23)]
