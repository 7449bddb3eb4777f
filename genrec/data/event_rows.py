"""The event log as a source beside the files: the events up to a cut, read by the rules of tables.

A cut (the last sequence number, the number of events, a digest) is fixed when a run asks for ingest's key, and is part of
it: new events make a new key, and a run that goes on after a kill finds its own events again, none lost or doubled.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.config import DataConfig
from genrec.data.quarantine import POSITION_LIMIT
from genrec.data.shards import Batch, Shard, SourceFile
from genrec.data.sources import table
from genrec.errors import DataError
from genrec.event_log import Cut, EventLog, EventLogError, open_log

NAME = "event log"  # in place of a file's name, in reports and quarantine
SAME_EVENT = ["user_id", "item_id", "timestamp", "event"]  # columns of one event
GROUP_ROWS = 500_000
_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("timestamp", pa.int64()),
        pa.field("event", pa.string()),
    ]
)


def check_log(config: DataConfig) -> None:
    """Whether the event log, if the config names one, can be read. Raises DataError with the setting."""
    if config.events is not None:
        with _log(config.events):
            pass


def cut_to_read(config: DataConfig) -> Cut | None:
    """The events to read: up to `events_until`, or to the newest now; None where the config names no event log."""
    if config.events is None:
        return None
    with _log(config.events) as log:
        return _asked(log.cut, config.events_until)


def up_to_now(configs: Sequence[DataConfig]) -> list[DataConfig]:
    """The configs with `events_until` filled in, the same for all that read one event log."""
    newest: dict[str, int] = {}
    fixed = []
    for config in configs:
        if config.events is not None and config.events_until is None:
            if config.events not in newest:
                with _log(config.events) as log:
                    newest[config.events] = _asked(log.last_sequence)
            config = config.model_copy(update={"events_until": newest[config.events]})
        fixed.append(config)
    return fixed


def slice_of_cut(cut: Cut | None) -> dict[str, Any]:
    """What a cut adds to the key of ingest; nothing where there is no event log, so that other keys stay as they are."""
    return {} if cut is None else {"event_log": dataclasses.asdict(cut)}


def cut_of_slice(reads: dict[str, Any]) -> Cut | None:
    """The cut that a key stands for."""
    return Cut(**reads["event_log"]) if "event_log" in reads else None


def export(config: DataConfig, cut: Cut, folder: Path) -> list[SourceFile]:
    """Write the events of a cut to a Parquet file in `folder`. Raises DataError where they are not those of the cut."""
    if config.events is None or cut.count == 0:
        return []
    path = folder / "event_log.parquet"
    with _log(config.events) as log:
        found = _asked(log.cut, cut.until)
        if found != cut:
            raise DataError(
                f"data.events: {log.name} held {cut.count} events up to number {cut.until} when the run began, and now "
                f"{found.count} others; start the run again"
            )
        with pq.ParquetWriter(path, _SCHEMA) as writer:
            for rows in _grouped(log, cut.until):
                writer.write_table(pa.table([pa.array(column) for column in zip(*rows, strict=True)], schema=_SCHEMA))
    return [SourceFile("interactions", path, NAME, time_unit="ms", from_log=True)]


def read(shard: Shard) -> Iterator[Batch]:
    """The rows of a shard of the exported file; a row's line is its place in the log."""
    return table.read(shard, table.Config())


def check_clock(file: str, latest: int) -> None:
    """Raises DataError where the files' times are positions in a sequence: events of a clock have no place among them.

    latest: of all times in files; file: the first of them.
    """
    if latest < POSITION_LIMIT:
        raise DataError(
            f"{file}: its times are positions in each user's sequence, and those of the event log are of a "
            "clock; write times into the files, or leave data.events out"
        )


def without_those_in_files(rows: pl.DataFrame, log_parts: list[int]) -> tuple[pl.DataFrame, int]:
    """The rows without those of the event log that a file has too, and how many these are.

    rows: of ROW_TYPES with `part`; log_parts: the parts that come from the event log.
    """
    if not log_parts:
        return rows, 0
    of_log = pl.col("part").is_in(log_parts)
    kept = rows.filter(~(of_log & (~of_log).any().over(SAME_EVENT)))
    return kept, rows.height - kept.height


def _grouped(log: EventLog, until: int) -> Iterator[list[tuple[str, str, int, str]]]:
    group: list[tuple[str, str, int, str]] = []
    for chunk in log.read_all(until=until):
        group += [(row.user_id, row.item_id, row.timestamp, row.event) for row in chunk]
        if len(group) >= GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _log(place: str) -> EventLog:
    return _asked(open_log, place, create=False)


def _asked(function: Any, *arguments: Any, **named: Any) -> Any:
    try:
        return function(*arguments, **named)
    except EventLogError as error:
        raise DataError(f"data.events: {error}") from None
