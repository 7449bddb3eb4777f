"""Event logs for tests: of SQLite in a folder, and of a Postgres that runs from the wheel of pgserver."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from genrec.event_log import Event, EventLog

T_MS = 1_700_000_000_000


class Clock:
    """A clock that a test sets; in seconds since 1970, as time.time."""

    def __init__(self, now_ms: int = T_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> float:
        return self.now_ms / 1000


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a Postgres server for tests; they are skipped where none starts.

    For root it runs as another user, who may not enter pytest's folders.
    """
    pgserver = pytest.importorskip("pgserver", reason="pgserver is not installed")
    folder = tempfile.mkdtemp(prefix="genrec-pg-")
    try:
        server = pgserver.get_server(folder)
    except Exception as error:
        pytest.skip(f"no Postgres starts here: {type(error).__name__}: {error}")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def clicks(*pairs: tuple[str, str], **more: object) -> list[Event]:
    """A click for each (user, item)."""
    return [Event(user, item, "click", **more) for user, item in pairs]  # type: ignore[arg-type]


def items_of(log: EventLog, user_id: str) -> list[str]:
    return [row.item_id for row in log.history(user_id)]
