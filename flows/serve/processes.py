"""Leave no process behind: find everything that descends from this process, and end it (Linux, /proc)."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent() -> None:
    """In a child, between fork and exec: get SIGTERM when the thread that forked ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def adopt_orphans() -> None:
    """Descendants whose parent dies become children of this process, where `descendants` still finds them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children(pid: int) -> list[int]:
    """The ids of the processes that `pid` has started or adopted."""
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, tasks.read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """The ids of all processes below `pid`, parents first."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def end(pids: list[int], patience_s: float) -> None:
    """SIGTERM, and SIGKILL for what is still there after `patience_s`."""
    _signal(pids, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal([p for p in pids if _alive(p)], signal.SIGKILL)


def reap() -> None:
    """Collect all dead children, adopted ones too: where process 1 collects none, they would stay in its table for ever.

    For the very end: whoever waits for one of them afterwards does not learn how it ended.
    """
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return False
    return state != "Z"
