"""One process at a time starts the first server of a store."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from flows.serve.credentials import auth_string
from flows.serve.first_start import FirstStart

SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads, such as those of Ray, may hang


def _start(home: Path, barrier, alone, firsts, dies: bool) -> None:
    """What a server's life does with the lock; `alone` is acquired without waiting by whoever makes the tables."""
    first = FirstStart(home)
    barrier.wait()
    first.wait()
    if first._was_done():
        return
    assert alone.acquire(block=False), "two processes make the tables"
    firsts.value += 1
    if dies and firsts.value == 1:
        alone.release()
        os.kill(os.getpid(), signal.SIGKILL)
    (home / "prefect.db").write_text("tables")
    alone.release()
    first.done()


@pytest.mark.parametrize("dies", [False, True])
def test_the_tables_are_made_by_one_process_and_by_the_next_where_that_one_dies(tmp_path, dies):
    barrier, alone, firsts = SPAWN.Barrier(5), SPAWN.Semaphore(1), SPAWN.Value("i", 0)
    processes = [SPAWN.Process(target=_start, args=(tmp_path, barrier, alone, firsts, dies)) for _ in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert sorted(process.exitcode for process in processes) == [*([-signal.SIGKILL] if dies else [0]), 0, 0, 0, 0]
    assert firsts.value == (2 if dies else 1)


def test_a_start_that_failed_gives_the_right_to_the_next(tmp_path):
    first, second = FirstStart(tmp_path), FirstStart(tmp_path)
    first.wait()
    first.release()
    second.wait()  # would wait without end
    (tmp_path / "prefect.db").write_text("tables")
    second.done()
    assert FirstStart(tmp_path)._was_done()


@pytest.mark.parametrize("change", ["database", "version"])
def test_another_database_or_version_is_a_first_start_again(tmp_path, change):
    first = FirstStart(tmp_path)
    first.wait()
    (tmp_path / "prefect.db").write_text("tables")
    first.done()
    if change == "database":
        (tmp_path / "prefect.db").unlink()
    else:
        (tmp_path / "tables-of-version").write_text("1.0")
    assert not FirstStart(tmp_path)._was_done()


def _password(home: Path, barrier, found) -> None:
    barrier.wait()
    found.put(auth_string(home))


def test_processes_that_ask_at_once_get_one_password_that_one_of_them_made(tmp_path):
    barrier, found = SPAWN.Barrier(6), SPAWN.Queue()
    processes = [SPAWN.Process(target=_password, args=(tmp_path, barrier, found)) for _ in range(6)]
    for process in processes:
        process.start()
    answers = [found.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert len({password for password, _ in answers}) == 1
    assert [is_new for _, is_new in answers].count(True) == 1


def test_a_password_file_left_empty_by_a_process_that_died_is_filled(tmp_path):
    (tmp_path / "password").touch(mode=0o600)
    made, new = auth_string(tmp_path)
    assert new
    assert made.startswith("genrec:")
    assert auth_string(tmp_path) == (made, False)
