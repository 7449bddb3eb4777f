"""Stopping a run while its stages work in threads, where no signal is heard.

Whoever is to stop it asks its `Stop` (flows/interrupts.py does on a signal). Whatever waits for Ray, for a lock or for
free cores looks at `stopping()` several times a second and raises `Stopped`: so each stage ends by itself, in good
order, and can report its own end to Prefect. Imports no Prefect: Ray's worker processes import this.
"""

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar

POLL_S = 0.25  # how often one who waits looks whether to stop


class Stopped(Exception):
    """The run was asked to stop; the text says why."""


class Stop:
    """Whether the work of a block, and of the blocks inside it, is to stop. Safe to share between threads."""

    def __init__(self, around: "Stop | None" = None) -> None:
        self._around, self._asked, self._why = around, threading.Event(), ""

    def ask(self, why: str) -> None:
        """Ask for it; of several reasons the first one counts."""
        if not self._asked.is_set():
            self._why = why
            self._asked.set()

    def check(self) -> None:
        """Raises Stopped where it was asked for, here or around."""
        if self._around is not None:
            self._around.check()
        if self._asked.is_set():
            raise Stopped(self._why)


_current: ContextVar[Stop] = ContextVar("stop", default=Stop())  # noqa: B039  (of whoever runs outside a block: never asked)


def stopping() -> Stop:
    """The request that the running work has to heed."""
    return _current.get()


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """A block whose work can be stopped by itself; it also stops with the one around it."""
    stop = Stop(_current.get())
    token = _current.set(stop)
    try:
        yield stop
    finally:
        _current.reset(token)
