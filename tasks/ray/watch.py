"""Who is told what a run does while it runs: the terminal, a Prefect artifact, or nobody."""

from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Watcher:
    """Is told about stages and progress. This one does nothing with it; subclasses show it."""

    def stage_started(self, stage: str, reason: str) -> None: ...

    def stage_waiting(self, stage: str) -> None: ...

    def progress(self, stage: str, done: float, total: float, note: str, values: dict[str, float]) -> None: ...

    def stage_finished(self, record: dict[str, Any]) -> None: ...

    def stage_failed(self, stage: str) -> None: ...

    def stage_stopped(self, stage: str) -> None: ...

    def message(self, text: str) -> None: ...

    def worker_log(self, stage: str, level: int, text: str) -> None: ...


_current: ContextVar[Watcher] = ContextVar("watcher", default=Watcher())  # noqa: B039  (never mutated)


def watcher() -> Watcher:
    return _current.get()


@contextmanager
def watching(new: Watcher):
    """Send everything that happens inside to `new`."""
    token = _current.set(new)
    try:
        yield new
    finally:
        _current.reset(token)
