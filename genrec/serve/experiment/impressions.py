"""What was shown to whom: rows in a buffer, written as Parquet by day, beside the store's runs.

STORE/experiments/NAME/impressions/day=2026-01-31/<writer>-<number>.parquet, the day in UTC. A request waits for no disk:
a thread writes the buffer every `flush_s` seconds or `flush_rows` rows, each file whole or not at all (fsync, then
rename); the report joins the files of days that are over (days.py). A clean stop loses nothing; a kill loses at most the buffer. Each writer has a name of its own, so that any number
of replicas write side by side.
"""

import contextlib
import dataclasses
import datetime
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from genrec.errors import GenrecError
from genrec.serve.experiment.assignment import CANDIDATE, CONTROL, INTERLEAVED, Arm, Experiment

IMPRESSIONS = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("shown_at", pa.int64(), nullable=False),  # milliseconds since 1970, this machine's clock
        pa.field("arm", pa.string(), nullable=False),  # control | candidate | interleaved
        pa.field("share", pa.float64(), nullable=False),  # of the experiment, when it was shown
        pa.field("items", pa.list_(pa.string()), nullable=False),  # best first
        pa.field("teams", pa.list_(pa.string())),  # of interleaved lists: control | candidate | null, one an item
        pa.field("model_key", pa.string(), nullable=False),
    ]
)
FLUSH_S, FLUSH_ROWS = 30.0, 2000
MAX_BUFFER_ROWS = 200_000  # where the disk fails for long, older rows are given up beyond it
_SETTINGS = "experiment.json"
_logger = logging.getLogger(__name__)


def experiment_folder(store: str | Path, name: str) -> Path:
    """Where an experiment's impressions and reports are, in the store's folder on this machine."""
    return Path(store) / "experiments" / name


class ImpressionLog:
    """The writer of one process; its methods may be called by any thread."""

    def __init__(
        self,
        folder: Path,
        experiment: Experiment,
        flush_s: float = FLUSH_S,
        flush_rows: int = FLUSH_ROWS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """folder: of the experiment. Raises OSError where it cannot be made."""
        self._folder = folder / "impressions"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._experiment, self._flush_s, self._flush_rows, self._clock = experiment, flush_s, flush_rows, clock
        self._writer, self._number = uuid.uuid4().hex[:12], 0
        self._buffer: list[dict[str, Any]] = []
        self._guard, self._writing = threading.Lock(), threading.Lock()
        self._wake, self._closed = threading.Event(), False
        self.lost = 0  # rows given up because the disk failed for long
        self._thread = threading.Thread(target=self._write_now_and_then, name="impressions", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, store: str | Path, experiment: Experiment, events: str = "") -> "ImpressionLog":
        """The writer for an experiment of a store. events: the place of the event log, for the report."""
        folder = experiment_folder(store, experiment.name)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"experiment": dataclasses.asdict(experiment), "events": events}
        write_whole(folder / _SETTINGS, json.dumps(settings, indent=2, sort_keys=True).encode())
        return cls(folder, experiment)

    def log(
        self,
        request_id: str,
        user_id: str,
        arm: Arm,
        items: Sequence[str],
        teams: Sequence[str | None] | None = None,
        model_key: str = "",
    ) -> None:
        """Note a list that a user of the experiment is shown. teams: of `interleave`, for the arm "interleaved" alone.

        Raises ValueError for an arm that there is not, or teams that do not fit the items.
        """
        if arm not in (CONTROL, CANDIDATE, INTERLEAVED):
            raise ValueError(f"arm: {arm!r} is none of {CONTROL}, {CANDIDATE}, {INTERLEAVED}")
        if (teams is not None) != (arm == INTERLEAVED) or (teams is not None and len(teams) != len(items)):
            raise ValueError("teams: one an item for interleaved lists, none for others")
        row = {
            "request_id": request_id,
            "user_id": user_id,
            "shown_at": int(self._clock() * 1000),
            "arm": arm,
            "share": self._experiment.share,
            "items": list(items),
            "teams": None if teams is None else list(teams),
            "model_key": model_key,
        }
        with self._guard:
            if self._closed:
                raise RuntimeError("the impressions are closed")
            self._buffer.append(row)
            full = len(self._buffer) >= self._flush_rows
        if full:
            self._wake.set()

    def flush(self) -> None:
        """Write the buffer. What cannot be written stays in it. Raises OSError."""
        with self._writing:
            with self._guard:
                days = _by_day(self._buffer)
                self._buffer = []
            while days:
                try:
                    self._write(*days[0])
                except BaseException:
                    self._put_back([row for _, rows in days for row in rows])
                    raise
                del days[0]

    def close(self) -> None:
        """Write the buffer and end. Raises OSError where the last rows cannot be written."""
        with self._guard:
            self._closed = True
        self._wake.set()
        self._thread.join()
        self.flush()

    def __enter__(self) -> "ImpressionLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write_now_and_then(self) -> None:
        while not self._closed:
            self._wake.wait(self._flush_s)
            self._wake.clear()
            if not self._closed:
                try:
                    self.flush()
                except OSError as error:
                    _logger.warning("impressions of %s: cannot be written (%s); kept for later", self._folder, error)
                    self._wake.clear()

    def _write(self, day: str, rows: list[dict[str, Any]]) -> None:
        folder = self._folder / f"day={day}"
        folder.mkdir(exist_ok=True)
        table = pa.Table.from_pylist(rows, schema=IMPRESSIONS)
        write_impressions(folder / f"{self._writer}-{self._number:06d}.parquet", table)
        self._number += 1

    def _put_back(self, rows: list[dict[str, Any]]) -> None:
        with self._guard:
            buffer = rows + self._buffer
            given_up = max(0, len(buffer) - MAX_BUFFER_ROWS)
            self._buffer, self.lost = buffer[given_up:], self.lost + given_up
        if given_up:
            _logger.error("impressions of %s: %d rows were given up", self._folder, given_up)


def read_settings(folder: Path) -> tuple[Experiment, str]:
    """The experiment whose folder this is, as the endpoint ran it last, and the place of its event log."""
    path = folder / _SETTINGS
    try:
        settings = json.loads(path.read_bytes())
        experiment = Experiment.of(settings["experiment"])
    except FileNotFoundError:
        known = sorted(p.parent.name for p in folder.parent.glob(f"*/{_SETTINGS}"))
        there = f"there are {', '.join(known)}" if known else "there is none in this store"
        raise GenrecError(f"experiment {folder.name}: not known; {there}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GenrecError(f"{path}: cannot be read ({error})") from None
    assert experiment is not None
    return experiment, settings["events"]


def write_impressions(path: Path, table: pa.Table) -> None:
    """A file of impressions, whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_whole(path, sink.getvalue())


def write_whole(path: Path, content: bytes | pa.Buffer) -> None:
    """A file that is there whole or not at all, also after a power cut."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _by_day(rows: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    days: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        day = datetime.datetime.fromtimestamp(row["shown_at"] / 1000, datetime.UTC).strftime("%Y-%m-%d")
        days.setdefault(day, []).append(row)
    return sorted(days.items())
