"""Folders of Ray sessions: found are those that genrec started, that have ended, and that are old enough."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.ray import sessions

DAY = 24 * 3600


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """Ray's folder of sessions."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(sessions, "_TEMPORARY", ())
    monkeypatch.delenv("TMPDIR", raising=False)
    return tmp_path / "ray"


def _session(temporary: Path, name: str, days_old: float = 10, **note: float) -> Path:
    folder = temporary / f"session_2026-11-01_12-00-00_000000_{name}"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "raylet.out").write_text("x")
    if note:
        (folder / "genrec.json").write_text(json.dumps(note))
    at = time.time() - days_old * DAY
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (at, at))
    return folder


def _ended_pid() -> int:
    """The number of a process that was there."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_ended_sessions_of_genrec_are_found_and_no_others(temporary):
    old = _session(temporary, "1", pid=_ended_pid(), started_at_unix_s=5.0)
    _session(temporary, "2")  # somebody else's Ray
    _session(temporary, "3", days_old=1, pid=_ended_pid(), started_at_unix_s=5.0)
    (temporary / "session_latest").symlink_to(old)
    assert sessions.ended(7) == [old]
    assert len(sessions.ended(0)) == 2


def test_the_session_of_a_live_process_stays_and_that_of_one_that_had_its_number_does_not(temporary):
    me = psutil.Process()
    _session(temporary, "1", pid=me.pid, started_at_unix_s=me.create_time())
    earlier = _session(temporary, "2", pid=me.pid, started_at_unix_s=me.create_time() - 100)
    assert sessions.ended(0) == [earlier]


def test_a_session_whose_processes_outlive_the_one_that_started_it_stays(temporary):
    folder = _session(temporary, "1", pid=_ended_pid(), started_at_unix_s=5.0)
    raylet = subprocess.Popen([sys.executable, "-c", "input()", f"--session_dir={folder}"], stdin=subprocess.PIPE)
    try:
        assert sessions.ended(0) == []
    finally:
        raylet.communicate(b"\n")
    assert sessions.ended(0) == [folder]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x", "started_at_unix_s": 1}'])
def test_a_note_that_cannot_be_read_keeps_its_session(temporary, text):
    folder = _session(temporary, "1")
    (folder / "genrec.json").write_text(text)
    assert sessions.ended(0) == []


def test_who_started_a_session_is_noted(tmp_path, temporary):
    folder = _session(temporary, "1")
    sessions.note_start(folder)
    assert json.loads((folder / "genrec.json").read_text()) == {
        "pid": os.getpid(),
        "started_at_unix_s": psutil.Process().create_time(),
    }
    sessions.note_start(tmp_path / "none")  # cannot be written, and costs no run
