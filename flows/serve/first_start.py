"""One process at a time brings the database of a Prefect server to the tables of its version.

Servers that start side by side on a fresh store would each create the tables, and the one that comes second fails. Once
a server of this version came up, later ones find nothing to do and start side by side.
"""

import fcntl
from importlib.metadata import version
from pathlib import Path
from typing import IO


class FirstStart:
    """The right to start the first server on the database in `home`: a lock that the kernel frees with its holder."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock: IO[str] | None = None

    def wait(self) -> None:
        """Return when no other process starts the first server: it is up, or this process may start it."""
        if self._lock or self._was_done():
            return
        lock = open(self._home / "first-start.lock", "a+")  # noqa: SIM115  (closed by `release`)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self._lock = lock
        if self._was_done():
            self.release()

    def done(self) -> None:
        """The server is up, so the tables are there."""
        if self._lock:
            self._mark.write_text(version("prefect"))
            self.release()

    def release(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None

    @property
    def _mark(self) -> Path:
        return self._home / "tables-of-version"

    def _was_done(self) -> bool:
        """Never where the database is not the file of its own in `home`: another one may be named in the environment."""
        try:
            return (self._home / "prefect.db").is_file() and self._mark.read_text() == version("prefect")
        except FileNotFoundError:
            return False
