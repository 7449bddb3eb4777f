"""Leave no process behind: find everything that descends from a process, and end it."""

import contextlib
import ctypes
import os
import sys
import time

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def adopt_orphans() -> None:
    """Descendants whose parent dies become children of this process, where `descendants` still finds them (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children(pid: int) -> list[int]:
    """The ids of the processes that `pid` has started or adopted."""
    return _below(pid, recursive=False)


def descendants(pid: int) -> list[int]:
    """The ids of all processes below `pid`, parents before their children."""
    return _below(pid, recursive=True)


def _below(pid: int, recursive: bool) -> list[int]:
    try:
        return [process.pid for process in psutil.Process(pid).children(recursive=recursive)]
    except psutil.NoSuchProcess:
        return []


def end(pids: list[int], patience_s: float) -> None:
    """SIGTERM, and SIGKILL for what still runs after `patience_s`; never for another process with the id of one."""
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + patience_s
    while any(map(_runs, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in filter(_runs, processes):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _runs(process: psutil.Process) -> bool:
    """Whether it is there and no zombie. (`psutil.wait_procs` would reap it, and its parent not learn how it ended.)"""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def reap() -> None:
    """Collect all dead children, adopted ones too: where process 1 collects none, they would stay zombies.

    For the very end: whoever waits for one of them afterwards does not learn how it ended.
    """
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
