"""The part files of a shard: its rows, the rows set aside, and counts.

    <index>-rows.arrow         columns of ROW_TYPES, in sorted runs (genrec.data.sorted_runs) by the columns of ORDERS
    <index>-rows.arrow.index   the keys of their batches
    <index>-bad.parquet        columns of BadRow
    <index>.json               counts, and the mark that the shard was read: written last

Each file is there whole or not at all, also after a loss of power, and what is in them depends on the shard alone: an
attempt after a killed one takes what it finds.
"""

import contextlib
import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.data.shards import DAMAGES, ROW_TYPES, UNREADABLE, Batch, Shard, shard_bytes
from genrec.data.sorted_runs import RunWriter, index_of
from genrec.progress import Progress, silent

ORDERS = {"interactions": ["user_id", "timestamp"], "items": ["item_id"]}  # then by line
GROUP_BYTES = 32 << 20
_LEFT_OUT = "; the whole file is left out"
_BAD_SCHEMA = pa.schema(
    [("line", pa.int64()), ("reason", pa.string()), ("detail", pa.string()), ("record", pa.string())]
)


def plan_name(shards: Sequence[Shard]) -> str:
    """A name for a plan: the same for the same shards in the same order, wherever their files lie."""
    plan = [[s.kind, s.name, s.start, s.end, s.time_unit, s.from_log] for s in shards]
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:16]


def is_read(shard: Shard, folder: Path) -> bool:
    """Whether the parts of a shard are in the folder: all of them, for a loss of power may take names of files back.

    Those of a file that could not be read or was left out do not count: it may be readable now.
    """
    mark = _mark(shard, folder)
    rows = rows_file(mark)
    if not all(path.is_file() for path in (mark, rows, index_of(rows), _bad_file(mark))):
        return False
    counts = json.loads(mark.read_text())
    return not counts.get("left_out") and counts.get("damage", {}).get("reason") != UNREADABLE


def in_groups(shards: Sequence[Shard], max_bytes: int = GROUP_BYTES) -> list[list[Shard]]:
    """Consecutive shards, joined while they have at most `max_bytes` of their files: thousands of small files are few tasks."""
    groups: list[list[Shard]] = []
    filled = 0
    for shard in shards:
        size = shard_bytes(shard)
        if not groups or filled + size > max_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(shard)
        filled += size
    return groups


def write(shard: Shard, batches: Iterator[Batch], out: Path, progress: Progress = silent) -> None:
    """Write the parts of a shard from its batches. Progress is in bytes of the source file."""
    out.mkdir(parents=True, exist_ok=True)
    mark = _mark(shard, out)
    counts: dict[str, Any] = {"kind": shard.kind, "file": shard.name, "lines": 0, "rows": 0, "bad": 0, "latest": None}
    changes: Counter[str] = Counter()
    num_bytes, note = shard_bytes(shard), f"bytes of {shard.name}"
    with (
        _whole(rows_file(mark)) as rows,
        _whole(index_of(rows_file(mark))) as index,
        _whole(_bad_file(mark)) as bad_file,
        RunWriter(rows, ORDERS[shard.kind], ROW_TYPES[shard.kind], index) as rows_writer,
        pq.ParquetWriter(bad_file, _BAD_SCHEMA) as bad_writer,
    ):
        for batch in batches:
            counts["rows"] += batch.rows.height
            counts["bad"] += len(batch.bad)
            counts["lines"] = batch.num_lines
            changes.update(batch.changes)
            if batch.rows.height:
                rows_writer.add(batch.rows)
                if shard.kind == "interactions":
                    counts["latest"] = max(counts["latest"] or 0, int(batch.rows["timestamp"].to_numpy().max()))
            if batch.bad:
                for row in batch.bad:
                    if row.reason in DAMAGES:
                        counts["damage"] = {"reason": row.reason, "detail": row.detail}
                bad = [row._asdict() for row in batch.bad]
                bad_writer.write_table(pa.Table.from_pylist(bad, schema=_BAD_SCHEMA))
            progress(batch.share * num_bytes, num_bytes, note)
    progress(num_bytes, num_bytes, note)
    with _whole(mark) as partial:
        partial.write_text(json.dumps({**counts, "changes": dict(changes), "from_log": shard.from_log}, sort_keys=True))


def set_aside(mark: Path) -> None:
    """Take all rows out of the parts with this mark, but those that say why the file is damaged; it may be done again."""
    counts = json.loads(mark.read_text())
    bad = pl.read_parquet(_bad_file(mark), glob=False).filter(pl.col("reason").is_in(DAMAGES))
    bad = bad.with_columns(pl.col("detail").str.strip_suffix(_LEFT_OUT) + _LEFT_OUT)
    with (
        _whole(rows_file(mark)) as rows,
        _whole(index_of(rows_file(mark))) as index,
        _whole(_bad_file(mark)) as bad_file,
    ):
        with RunWriter(rows, ORDERS[counts["kind"]], ROW_TYPES[counts["kind"]], index):
            pass
        pq.write_table(bad.to_arrow().cast(_BAD_SCHEMA), bad_file)
    with _whole(mark) as partial:
        told = {**counts, "rows": 0, "bad": bad.height, "latest": None, "changes": {}, "left_out": True}
        partial.write_text(json.dumps(told, sort_keys=True))


def marks(parts: Path) -> list[Path]:
    """The marks of a folder, in the order of the shards, however many there are."""
    return sorted(parts.glob("*.json"), key=lambda mark: int(mark.stem))


def _mark(shard: Shard, folder: Path) -> Path:
    return folder / f"{shard.index:05d}.json"


def rows_file(mark: Path) -> Path:
    """The rows of the parts with this mark."""
    return mark.with_name(f"{mark.stem}-rows.arrow")


def _bad_file(mark: Path) -> Path:
    return mark.with_name(f"{mark.stem}-bad.parquet")


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` once it is on the disk."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")  # a worker given up may still write its own
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
