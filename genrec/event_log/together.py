"""Group commit: calls of several threads that arrive while one is being written share the next commit.

A commit waits for the disk, and SQLite's writers wait for each other by polling: 16 threads with a commit each took turns
of seconds. Here the thread that gets the lock writes what all of them have brought by then, so that a call waits for two
commits at most.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from genrec.event_log.errors import LogUnavailable

Given = TypeVar("Given")
Result = TypeVar("Result")


class Call(Generic[Given, Result]):
    """What one thread brought, and what became of it: a result or an error."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.done = False


class Together(Generic[Given, Result]):
    """Hands calls to `write` in groups, in the order in which they came.

    write: fills in `result` or `error` of each call; an error that it raises is that of every call of the group.
    """

    def __init__(self, write: Callable[[Sequence[Call[Given, Result]]], None]) -> None:
        self._write = write
        self._waiting: list[Call[Given, Result]] = []
        self._guard, self._writing = threading.Lock(), threading.Lock()

    def call(self, given: Given) -> Result:
        """The result of `write` for what is given. Raises its error."""
        mine: Call[Given, Result] = Call(given)
        with self._guard:
            self._waiting.append(mine)
        with self._writing:
            if not mine.done:
                self._write_all_that_wait()
        if mine.error is not None:
            # One error may be that of several threads: each raises its own.
            raise type(mine.error)(*mine.error.args) if isinstance(mine.error, LogUnavailable) else mine.error
        assert mine.result is not None
        return mine.result

    def _write_all_that_wait(self) -> None:
        with self._guard:
            group, self._waiting = self._waiting, []
        try:
            self._write(group)
        except BaseException as error:
            for call in group:
                call.error = call.error or error
            if not isinstance(error, Exception):
                raise
        finally:
            for call in group:
                call.done = True
