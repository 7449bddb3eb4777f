"""The log itself: append, a user's history, and reading it from a sequence number on."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from genrec.event_log.database import FORMAT, Database
from genrec.event_log.errors import EventConflict, EventLogError, LogCorrupt
from genrec.event_log.event import Event, Receipt, Stored, check_id, check_not_ahead
from genrec.event_log.together import Call, Together

BUSY_TIMEOUT_S = 5.0
CHUNK_ROWS = 10_000
_IN_CHUNK = 500  # values of one IN (...)

_metadata = sa.MetaData()
_format = sa.Table("genrec_event_log", _metadata, sa.Column("format", sa.Integer, nullable=False))
_events = sa.Table(
    "genrec_events",
    _metadata,
    # An INTEGER key of SQLite is its row number; AUTOINCREMENT never gives one twice.
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.Text, nullable=False, unique=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("timestamp", sa.BigInteger, nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("by_server", sa.Boolean, nullable=False),
    sa.Column("request_id", sa.Text),
    sa.Index("genrec_events_of_user", "user_id", "timestamp", "sequence"),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True)
class Cut:
    """The events up to one sequence number: what a retraining reads, however many come meanwhile."""

    until: int  # sequence number of the last one; 0: none
    count: int
    sha256: str  # of user, item, event and timestamp of each in order


def log_of_store(store: str | Path) -> Path:
    """Where the event log of a store on this machine is, unless a setting names another place."""
    return Path(store) / "events" / "events.sqlite"


def open_log(
    place: str | Path,
    *,
    create: bool = True,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    clock: Callable[[], float] = time.time,
) -> "EventLog":
    """Open the log at the path of a SQLite file or at a Postgres URL (its password in PGPASSWORD or ~/.pgpass).

    create: make it where there is none; else an EventLogError says so. busy_timeout_s: how long a call waits for another
    writer. clock: seconds since 1970.

    Raises LogCorrupt for a file that is no event log or is damaged (it is not touched), LogUnavailable where the
    database does not answer.
    """
    database = Database(str(place), create, busy_timeout_s)
    log = EventLog(database, clock)
    try:
        log._check_format(create)
    except BaseException:
        log.close()
        raise
    return log


class EventLog:
    """Events in the order in which they were stored. One may be shared by the threads of a process."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        """Use open_log."""
        self._database, self._clock = database, clock
        self._together: Together[list[tuple[str, Event]], list[Receipt]] = Together(self._write)

    @property
    def name(self) -> str:
        """The file, or the URL without its password."""
        return self._database.name

    def append(self, events: Sequence[Event]) -> list[Receipt]:
        """Store events, all or none, and return a receipt for each, in their order. What is returned is durable.

        Calls of several threads share a commit; one that is refused leaves the others as they are.
        An event whose id is stored already is not stored again: its receipt is the first one's, with `repeated`.

        Raises:
            BadEvent: a client's time is more than a day ahead of this machine's clock.
            EventConflict: an id was used for an event of another user, item, type, time or request.
            LogBusy, LogFull, LogCorrupt, LogUnavailable: nothing was stored (where the connection to Postgres broke while
                it committed, that is not known); events with an id may be sent again in any case.
        """
        if not events:
            return []
        now = int(self._clock() * 1000)
        for event in events:
            if event.timestamp is not None:
                check_not_ahead(event.timestamp, now)
        return self._together.call([(event.event_id or uuid.uuid4().hex, event) for event in events])

    def history(self, user_id: str, limit: int | None = None, kinds: Collection[str] | None = None) -> list[Stored]:
        """A user's events, oldest first by (timestamp, sequence): the newest `limit` of them, or all; of these types alone
        where `kinds` is given.

        Raises BadEvent for what cannot be a user id, LogUnavailable where the log cannot be read.
        """
        check_id("user_id", user_id)
        newest = (
            sa.select(_events)
            .where(_events.c.user_id == user_id)
            .order_by(_events.c.timestamp.desc(), _events.c.sequence.desc())
        )
        if kinds is not None:
            newest = newest.where(_events.c.event.in_(sorted(kinds)))
        with self._database.reading() as connection:
            rows = connection.execute(newest if limit is None else newest.limit(limit)).all()
        return [Stored(*row) for row in reversed(rows)]

    def read(self, after_sequence: int = 0, limit: int = CHUNK_ROWS, until: int | None = None) -> list[Stored]:
        """The first `limit` events after a sequence number (and up to `until`), in the order in which they were stored."""
        query = sa.select(_events).where(_events.c.sequence > after_sequence)
        if until is not None:
            query = query.where(_events.c.sequence <= until)
        with self._database.reading() as connection:
            return [Stored(*row) for row in connection.execute(query.order_by(_events.c.sequence).limit(limit))]

    def read_all(self, after_sequence: int = 0, until: int | None = None) -> Iterator[list[Stored]]:
        """What `read` gives, chunk after chunk, each in a short transaction of its own."""
        while rows := self.read(after_sequence, CHUNK_ROWS, until):
            yield rows
            after_sequence = rows[-1].sequence

    def last_sequence(self) -> int:
        """The sequence number of the newest event, 0 where there is none."""
        with self._database.reading() as connection:
            return connection.execute(sa.select(sa.func.max(_events.c.sequence))).scalar() or 0

    def cut(self, until: int | None = None) -> Cut:
        """The events up to now, or up to a sequence number, with a digest of them; every one of them is read."""
        last, count, digest = 0, 0, hashlib.sha256()
        for rows in self.read_all(until=self.last_sequence() if until is None else until):
            for row in rows:
                digest.update(json.dumps([row.user_id, row.item_id, row.event, row.timestamp]).encode())
            last, count = rows[-1].sequence, count + len(rows)
        return Cut(last, count, digest.hexdigest())

    def close(self) -> None:
        """Close the connections."""
        self._database.engine.dispose()

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ---- inside a transaction ---------------------------------------------------------------------------------------

    def _write(self, calls: Sequence[Call[list[tuple[str, Event]], list[Receipt]]]) -> None:
        """Several calls in one transaction; what one may not store is known before anything of it is inserted."""
        with self._database.writing() as connection:
            for call in calls:
                try:
                    call.result = self._append(connection, call.given)
                except EventConflict as error:
                    call.error = error

    def _append(self, connection: sa.Connection, named: list[tuple[str, Event]]) -> list[Receipt]:
        known = self._stored_of(connection, [event_id for event_id, _ in named])
        seen = set(known)
        new = self._new_rows(connection, named, known, int(self._clock() * 1000))
        if new:
            connection.execute(sa.insert(_events), new)
            known |= self._stored_of(connection, [row["event_id"] for row in new])
        receipts = []
        for event_id, _ in named:
            receipts.append(Receipt(event_id, known[event_id].sequence, event_id in seen))
            seen.add(event_id)
        return receipts

    def _stored_of(self, connection: sa.Connection, event_ids: list[str]) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        for start in range(0, len(event_ids), _IN_CHUNK):
            query = sa.select(_events).where(_events.c.event_id.in_(event_ids[start : start + _IN_CHUNK]))
            found |= {row.event_id: Stored(*row) for row in connection.execute(query)}
        return found

    def _new_rows(
        self, connection: sa.Connection, named: list[tuple[str, Event]], known: dict[str, Stored], now: int
    ) -> list[dict[str, Any]]:
        """The rows to insert: of ids that are not known yet, once each. Raises EventConflict."""
        users = sorted(
            {event.user_id for event_id, event in named if event.timestamp is None and event_id not in known}
        )
        last = self._last_server_times(connection, users)
        rows: dict[str, dict[str, Any]] = {}
        for event_id, event in named:
            if event_id in rows:
                _check_same(event_id, event, rows[event_id])
                continue
            if event_id in known:
                stored = known[event_id]
                _check_same(event_id, event, {name: getattr(stored, name) for name in Stored.__slots__})
                continue
            timestamp = event.timestamp
            if timestamp is None:  # after the one before, also where this clock was set back since
                timestamp = last[event.user_id] = max(now, last.get(event.user_id, 0) + 1)
            rows[event_id] = {
                "event_id": event_id,
                "user_id": event.user_id,
                "item_id": event.item_id,
                "event": event.event,
                "timestamp": timestamp,
                "received_at": now,
                "by_server": event.timestamp is None,
                "request_id": event.request_id,
            }
        return list(rows.values())

    def _last_server_times(self, connection: sa.Connection, user_ids: list[str]) -> dict[str, int]:
        """The newest time of this machine's clock among the events of each user."""
        found: dict[str, int] = {}
        for start in range(0, len(user_ids), _IN_CHUNK):
            query = (
                sa.select(_events.c.user_id, sa.func.max(_events.c.timestamp))
                .where(_events.c.user_id.in_(user_ids[start : start + _IN_CHUNK]), _events.c.by_server)
                .group_by(_events.c.user_id)
            )
            found.update((user_id, newest) for user_id, newest in connection.execute(query))
        return found

    # ---- format -----------------------------------------------------------------------------------------------------

    def _check_format(self, create: bool) -> None:
        """Make the tables where there are none yet, and check whose they are."""
        with self._database.reading() as connection:
            there = sa.inspect(connection).get_table_names()
            found = connection.execute(sa.select(_format.c.format)).scalar() if _format.name in there else None
        if found is None:
            others = [name for name in there if not name.startswith("genrec_")]
            if others and self._database.is_sqlite:
                raise LogCorrupt(
                    f"event log {self.name}: a SQLite file of something else (it has {others[0]}); set another"
                )
            if not create:
                raise EventLogError(
                    f"event log {self.name}: there are no events yet; start the endpoint, or correct the setting"
                )
            self._make_tables()
        elif found != FORMAT:
            raise EventLogError(
                f"event log {self.name}: has format {found}, and this version of genrec reads {FORMAT}; use the version "
                "that wrote it"
            )

    def _make_tables(self) -> None:
        self._database.set_up()
        with self._database.writing() as connection:
            _metadata.create_all(connection)
            if connection.execute(sa.select(_format.c.format)).scalar() is None:
                connection.execute(sa.insert(_format).values(format=FORMAT))


def _check_same(event_id: str, event: Event, row: dict[str, Any]) -> None:
    """Raises EventConflict where an id's event is another one; a time that the server gave is none of the client's."""
    names = ["user_id", "item_id", "event", "request_id"]
    if event.timestamp is None or row["by_server"]:
        same_time = event.timestamp is None and row["by_server"]
    else:
        same_time = event.timestamp == row["timestamp"]
    differing = [name for name in names if getattr(event, name) != row[name]] + ([] if same_time else ["timestamp"])
    if differing:
        raise EventConflict(
            f"event_id: {event_id!r} is the id of an earlier event with another {' and '.join(differing)}; give each event an id "
            "of its own"
        )
