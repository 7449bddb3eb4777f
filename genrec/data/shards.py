"""What travels between a source and ingest: files, the shards they are cut into, and the batches read from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import polars as pl
import pyarrow.parquet as pq

from genrec.data.places import opened

Kind = Literal["interactions", "items"]
DAMAGES = TRUNCATED, UNREADABLE = "truncated_file", "damaged_file"  # reasons of rows that stand for a file

ROW_TYPES: dict[str, dict[str, pl.DataType]] = {
    "interactions": {
        "line": pl.Int64(),
        "user_id": pl.String(),
        "item_id": pl.String(),
        "timestamp": pl.Int64(),
        "event": pl.String(),
        "rating": pl.Float32(),
    },
    "items": {
        "line": pl.Int64(),
        "item_id": pl.String(),
        "title": pl.String(),
        "description": pl.String(),
        "brand": pl.String(),
        "categories": pl.List(pl.String()),
    },
}


@dataclass(frozen=True)
class SourceFile:
    """A file to read; `name` is relative to the source folder and is what reports and quarantine rows show."""

    kind: Kind
    path: Path
    name: str
    time_unit: str = ""  # of interactions, where the source tells it by looking at all files
    from_log: bool = False  # rows of the event log (genrec/data/event_rows.py), whatever the source is
    damage: str = ""  # why the file cannot be read
    by_lines: bool = False  # every line is a row, whatever its name ends in: it may be cut between any two


@dataclass(frozen=True)
class Shard:
    """A piece of a source file that one task reads.

    `start` and `end` are bytes of a plain JSONL or CSV file or row groups of a Parquet file; `end` None reads to the end.
    A compressed file is one shard.
    """

    index: int
    kind: Kind
    path: Path
    name: str
    start: int = 0
    end: int | None = None
    time_unit: str = ""  # as of SourceFile
    from_log: bool = False
    damage: str = ""


class BadRow(NamedTuple):
    """A row that was set aside; `line` is 1-based from the start of its shard."""

    line: int
    reason: str
    detail: str
    record: str


class Batch(NamedTuple):
    """Rows of one kind (columns as in ROW_TYPES, `line` 1-based from the start of the shard) and the rows set aside.

    `num_lines` is how many lines of the file were passed so far in the shard: the next shard's lines count on from it.
    `share` is how much of the shard was passed so far, 0..1, by its bytes as they lie in the file (a Parquet file: rows).
    `changes` counts values that were read as something else than they are written as, by the names of
    CHANGES in genrec/data/coverage.py.
    """

    rows: pl.DataFrame
    bad: list[BadRow]
    num_lines: int
    share: float
    changes: Mapping[str, int] = MappingProxyType({})


def empty_rows(kind: str) -> pl.DataFrame:
    """No rows, with the columns of `kind`."""
    return pl.DataFrame(schema=ROW_TYPES[kind])


def shard_bytes(shard: Shard) -> int:
    """About how many bytes of its file a shard covers, at least 1: what its part of the work is measured by."""
    size = max(1, shard.path.stat().st_size)
    if shard.path.suffix.lower() != ".parquet":
        return max(1, (size if shard.end is None else min(shard.end, size)) - shard.start)
    rows = _group_rows(shard.path)
    return max(1, size * sum(rows[shard.start : shard.end]) // max(1, sum(rows)))


def cut_into_shards(files: list[SourceFile], max_bytes: int = 256 << 20, max_rows: int = 4_000_000) -> list[Shard]:
    """One shard a file, several for a large plain JSONL or CSV file (byte ranges) or Parquet file (ranges of row groups)."""
    shards: list[Shard] = []
    for file in files:
        for start, end in [(0, None)] if file.damage else _ranges(file, max_bytes, max_rows):
            place = (len(shards), file.kind, file.path, file.name, start, end)
            shards.append(Shard(*place, file.time_unit, file.from_log, file.damage))
    return shards


def _ranges(file: SourceFile, max_bytes: int, max_rows: int) -> list[tuple[int, int | None]]:
    path = file.path
    if file.by_lines or path.suffix.lower() in (".jsonl", ".json", ".ndjson"):
        steps = list(range(0, max(path.stat().st_size, 1), max_bytes))
        return list(zip(steps, [*steps[1:], None], strict=True))
    if path.suffix.lower() == ".parquet":
        return _row_group_ranges(path, max_rows)
    return [(0, None)]


def _row_group_ranges(path: Path, max_rows: int) -> list[tuple[int, int | None]]:
    """Consecutive row groups, joined while they hold at most `max_rows` rows."""
    starts, rows = [0], 0
    for group, size in enumerate(_group_rows(path)):
        if rows and rows + size > max_rows:
            starts.append(group)
            rows = 0
        rows += size
    return list(zip(starts, [*starts[1:], None], strict=True))


def _group_rows(path: Path) -> list[int]:
    """Rows of each row group. A file that is no Parquet has none: its reader then says what is wrong with it."""
    try:
        metadata = pq.ParquetFile(opened(path)).metadata
    except (OSError, ValueError):
        return []
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
