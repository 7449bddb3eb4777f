"""Temporary folders: a folder is removed only when its owner surely is gone, on whichever host, container or system."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genrec.store.local import Store
from genrec.store.scratch import ABANDONED_S, Place, this_place

HERE = Place("one", "boot-1")
_HOLDER = """
import json, sys, time
from pathlib import Path
from genrec.store.local import Store
from genrec.store.scratch import Place
store = Store(Path(sys.argv[1]), place=Place(*json.loads(sys.argv[2])))
with store.scratch() as out:
    (out / "work").write_text("half")
    print(out, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that holds a temporary folder as one of some place; gives the process and the folder's name."""
    started = []

    def start(place: Place):
        command = [sys.executable, "-c", _HOLDER, str(tmp_path), json.dumps([place.host, place.boot])]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip().rpartition("/")[2]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _kill(process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)


def _names(tmp_path) -> set[str]:
    return {p.name for p in (tmp_path / "tmp").iterdir()}


@pytest.mark.parametrize(
    ("owner", "looker"),
    [
        (HERE, HERE),
        (HERE, Place("another container", "boot-1")),  # one kernel: its locks tell
        (HERE, Place("one", "boot-2")),  # started again since
        (Place("one", ""), Place("one", "")),  # a system without /proc
    ],
)
def test_the_folder_of_a_live_process_stays_and_that_of_a_killed_one_goes(tmp_path, holder, owner, looker):
    process, name = holder(owner)
    store = Store(tmp_path, place=looker)
    assert store.remove_leftovers() == 0
    assert (tmp_path / "tmp" / name / "work").read_text() == "half"
    _kill(process)
    assert store.remove_leftovers() == 1
    assert _names(tmp_path) == set()


@pytest.mark.parametrize("looker", [Place("two", "boot-2"), Place("two", ""), Place("one", "")])
def test_what_another_host_may_hold_is_left_alone_until_nothing_changed_for_a_long_time(tmp_path, holder, looker):
    """Its locks may be out of sight: so a free lock says nothing."""
    process, name = holder(HERE)
    _kill(process)
    store = Store(tmp_path, place=looker)
    assert store.remove_leftovers() == 0
    long_ago = time.time() - ABANDONED_S - 60
    for path in (tmp_path / "tmp" / name, tmp_path / "tmp" / f"{name}.owner"):
        os.utime(path, (long_ago, long_ago))
    assert store.remove_leftovers() == 0  # a file in it is young
    os.utime(tmp_path / "tmp" / name / "work", (long_ago, long_ago))
    assert store.remove_leftovers() == 1
    assert _names(tmp_path) == set()


def test_two_hosts_and_a_system_without_proc_share_a_store_and_each_clears_its_own(tmp_path, holder):
    places = {"one": HERE, "two": Place("two", "boot-2"), "without proc": Place("three", "")}
    killed, alive = {}, {}
    for host, place in places.items():
        process, killed[host] = holder(place)
        _kill(process)
        _, alive[host] = holder(place)
    for host, place in places.items():
        assert Store(tmp_path, place=place).remove_leftovers() == 1
        assert killed.pop(host) not in _names(tmp_path)
        assert set(killed.values()) | set(alive.values()) <= _names(tmp_path)


def test_what_a_task_wrote_again_after_its_folder_was_given_up_goes_and_strange_names_stay(tmp_path):
    store = Store(tmp_path, place=HERE)
    with store.scratch() as out:
        pass
    (out / "parts").mkdir(parents=True)
    (tmp_path / "tmp" / "123-of-another-version").mkdir()
    (tmp_path / "tmp" / f"{'0' * 32}.owner").write_text("?")  # of another version
    assert store.remove_leftovers() == 1
    assert _names(tmp_path) == {"123-of-another-version", f"{'0' * 32}.owner"}
    long_ago = time.time() - ABANDONED_S - 60
    os.utime(tmp_path / "tmp" / "123-of-another-version", (long_ago, long_ago))
    assert store.remove_leftovers() == 0


def test_a_folder_goes_with_its_block_also_after_an_error(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(FileNotFoundError), store.scratch() as out:
        (out / "not there" / "a").write_text("x")
    assert _names(tmp_path) == set()


def test_a_full_disk_leaves_nothing_of_a_folder_that_could_not_be_made(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def mkdir(path, *args, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(OSError, match="No space left"), store.scratch():
        pass
    assert _names(tmp_path) == set()


def test_the_boot_is_known_with_proc_and_unknown_without(tmp_path):
    assert this_place(tmp_path).boot == ""
    boot = tmp_path / "proc" / "sys" / "kernel" / "random" / "boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("abc\n")
    assert this_place(tmp_path).boot == "abc"
    assert this_place(tmp_path).host == this_place(tmp_path / "elsewhere").host


def test_an_owner_that_died_before_it_wrote_leaves_nothing_and_one_that_is_alive_makes_another(tmp_path, monkeypatch):
    store = Store(tmp_path)
    (tmp_path / "tmp" / f"{'0' * 32}.owner").touch()
    store.remove_leftovers()
    assert _names(tmp_path) == set()

    flock, removed = fcntl.flock, []

    def flock_after_a_clean_up(file, operation):
        if operation == fcntl.LOCK_EX and not removed:  # between making the file and locking it
            removed.extend(_names(tmp_path))
            Store(tmp_path).remove_leftovers()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock_after_a_clean_up)
    with store.scratch() as folder:
        assert _names(tmp_path) == {folder.name, f"{folder.name}.owner"}
        assert f"{folder.name}.owner" not in removed
        assert len(removed) == 1
    assert _names(tmp_path) == set()
