"""The database under the event log: SQLite or Postgres, durable commits, one writer at a time, errors by their cause.

SQLite: WAL, synchronous=FULL: a commit returns when the write-ahead log is on the disk (https://sqlite.org/pragma.html,
synchronous). Postgres: its default, synchronous_commit=on. In both, a transaction that writes begins by taking the one
lock for writers, so that sequence numbers become visible in their order: a reader who has seen number n has seen all
numbers below it. (Numbers of a Postgres sequence are given out before the commit; without the lock a reader would pass
over those of a slower transaction.)
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from genrec.event_log.errors import EventLogError, LogBusy, LogCorrupt, LogFull, LogUnavailable
from genrec.paths import expanded

FORMAT = 1
_WRITERS_LOCK = 0x67656E7265763031  # of Postgres: one number for this table in every database
_POSTGRES = ("postgresql", "postgres")
_SQLITE_BUSY, _SQLITE_LOCKED, _SQLITE_READONLY, _SQLITE_IOERR = 5, 6, 8, 10
_SQLITE_CORRUPT, _SQLITE_FULL, _SQLITE_NOTADB = 11, 13, 26
_PG_BUSY = {"55P03", "57014", "40P01", "40001"}  # lock_not_available, query_canceled, deadlock, serialization
_PG_FULL = {"53100"}
_PG_CORRUPT = {"XX001", "XX002"}  # data_corrupted, index_corrupted


class Database:
    """Connections to the place of a log. Safe to share between threads; not between processes that fork."""

    def __init__(self, place: str, create: bool, busy_timeout_s: float) -> None:
        """Raises EventLogError for a place that cannot be one, or where there is no log and `create` is false."""
        self.url = _url(place)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.name = str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)
        self.busy_timeout_s = busy_timeout_s
        if self.is_sqlite:
            self._check_file(create)
        self.engine = self._engine()
        self._file: tuple[int, int] | None = None  # device and number of the SQLite file, once it has been used

    def _check_file(self, create: bool) -> None:
        path = Path(self.name)
        if path.is_dir():
            raise EventLogError(f"event log {path}: is a folder; name a file in it, such as {path}/events.sqlite")
        if not path.exists():
            if not create:
                raise EventLogError(
                    f"event log {path}: no such file; the endpoint makes it when it starts, or correct the setting"
                )
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LogUnavailable(f"event log {path}: its folder cannot be made ({error.strerror})") from None

    def _engine(self) -> sa.Engine:
        milliseconds = int(self.busy_timeout_s * 1000)
        if not self.is_sqlite:
            options = f"-c lock_timeout={milliseconds} -c statement_timeout={max(milliseconds, 60_000)}"
            return sa.create_engine(
                self.url,
                pool_pre_ping=True,
                hide_parameters=True,  # no customer in an error
                connect_args={"connect_timeout": max(1, round(self.busy_timeout_s)), "options": options},
            )
        engine = sa.create_engine(
            self.url,
            poolclass=QueuePool,
            hide_parameters=True,
            pool_size=8,
            max_overflow=56,
            connect_args={"timeout": self.busy_timeout_s, "check_same_thread": False},
        )

        @sa.event.listens_for(engine, "connect")
        def _on_connect(connection: Any, record: Any) -> None:
            connection.isolation_level = None  # SQLAlchemy's BEGIN below, not one that the driver guesses
            connection.execute("PRAGMA synchronous=FULL")

        @sa.event.listens_for(engine, "begin")
        def _on_begin(connection: sa.Connection) -> None:
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def set_up(self) -> None:
        """Once, before there are tables: the mode of a SQLite file, which stays with it. Other files are not touched."""
        if not self.is_sqlite:
            return
        give_up = time.monotonic() + self.busy_timeout_s
        while True:  # two processes that make a log at once: SQLite does not wait for this lock by itself
            try:
                with self._errors_by_cause(), contextlib.closing(self.engine.raw_connection()) as connection:
                    connection.cursor().execute("PRAGMA journal_mode=WAL")
                return
            except LogBusy:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the log."""
        with self._errors_by_cause(), self.engine.connect() as connection, connection.begin():
            yield connection
            self._file = self._file or self._identity()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer's overlaps; durable when the block has been left without an error."""
        with self._errors_by_cause(), self.engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                if not self.is_sqlite:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")
                self._check_still_there()
                yield connection

    def _check_still_there(self) -> None:
        """SQLite writes on to a file that was removed, and what it acknowledges then would be gone with this process."""
        found = self._identity()
        if self._file is not None and found != self._file:
            raise LogUnavailable(
                f"event log {self.name}: the file was removed or replaced while it was in use; nothing was stored. Put it "
                "back, or start again what writes it"
            )
        self._file = found

    def _identity(self) -> tuple[int, int] | None:
        """None for Postgres, and for a file that is not there."""
        try:
            found = Path(self.name).stat() if self.is_sqlite else None
        except OSError:
            return None
        return None if found is None else (found.st_dev, found.st_ino)

    @contextlib.contextmanager
    def _errors_by_cause(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.TimeoutError:
            raise LogBusy(f"event log {self.name}: no connection was free for too long; nothing was stored") from None
        except sa.exc.DBAPIError as error:
            raise self._by_cause(error.orig) from error
        except sqlite3.Error as error:  # of pragmas, past SQLAlchemy
            raise self._by_cause(error) from error

    def _by_cause(self, cause: BaseException | None) -> LogUnavailable:
        code = getattr(cause, "sqlite_errorcode", None)
        return self._of_sqlite(code & 0xFF, cause) if code is not None else self._of_postgres(cause)

    def _of_sqlite(self, code: int, cause: BaseException | None) -> LogUnavailable:
        if code in (_SQLITE_BUSY, _SQLITE_LOCKED):
            return self._busy()
        if code in (_SQLITE_FULL, _SQLITE_IOERR, _SQLITE_READONLY):
            return LogFull(f"event log {self.name}: cannot be written ({cause}); nothing was stored. Free its disk")
        if code in (_SQLITE_CORRUPT, _SQLITE_NOTADB):
            return LogCorrupt(
                f"event log {self.name}: cannot be read ({cause}) and is left as it is; set another file, or mend a copy "
                "of it with `sqlite3 FILE .recover`"
            )
        return LogUnavailable(f"event log {self.name}: {cause}")

    def _of_postgres(self, cause: BaseException | None) -> LogUnavailable:
        state = getattr(cause, "sqlstate", None)
        if state in _PG_BUSY:
            return self._busy()
        if state in _PG_FULL:
            return LogFull(f"event log {self.name}: the disk of the database is full; nothing was stored")
        if state in _PG_CORRUPT:
            return LogCorrupt(f"event log {self.name}: damaged, by its database")
        said = " ".join(str(cause).split())[:300] or type(cause).__name__
        return LogUnavailable(f"event log {self.name}: {said}")

    def _busy(self) -> LogBusy:
        return LogBusy(
            f"event log {self.name}: another writer held it for more than {self.busy_timeout_s:g} s; nothing was stored"
        )


def _url(place: str) -> sa.URL:
    """The URL of a place: a Postgres URL, or the path of a SQLite file (`sqlite:///FILE` too)."""
    scheme, separator, _ = place.partition("://")
    if not separator:
        return sa.URL.create("sqlite+pysqlite", database=str(Path(expanded(place)).absolute()))
    try:
        url = sa.make_url(place)
    except (sa.exc.ArgumentError, ValueError):  # the latter of a port
        raise EventLogError("event log: its URL cannot be read; write postgresql://host/database") from None
    if scheme == "sqlite" and url.database and url.database != ":memory:":
        return sa.URL.create("sqlite+pysqlite", database=str(Path(expanded(url.database)).absolute()))
    if scheme.split("+")[0] not in _POSTGRES:
        raise EventLogError(
            f"event log: {scheme}:// is none that can be used; give the path of a SQLite file or postgresql://host/database"
        )
    return url.set(drivername="postgresql+psycopg")
