"""The merge of ingest with all rows in memory, the plain way: what the one on disk must equal."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from genrec.data.event_rows import SAME_EVENT
from genrec.data.part_files import rows_file
from genrec.data.quarantine import MAX_RECORD_CHARS
from genrec.data.shards import ROW_TYPES
from genrec.tables import INTERACTIONS, ITEMS, QUARANTINE


class Merged(NamedTuple):
    interactions: pl.DataFrame
    items: pl.DataFrame
    quarantine: pl.DataFrame
    summary: dict[str, Any]


def merge(parts: Path) -> Merged:
    """The three tables, and some of the summary, from the parts of all shards."""
    counts = [json.loads(path.read_text()) for path in sorted(parts.glob("*.json"))]
    log_parts = [part for part, count in enumerate(counts) if count["from_log"]]
    rows, in_both = _without_those_in_files(_rows(parts, counts, "interactions"), log_parts)
    interactions, repeats = _without_repeats(rows, SAME_EVENT, "duplicate_event")
    items, item_repeats = _without_repeats(_rows(parts, counts, "items"), ["item_id"], "duplicate_item")
    quarantine = pl.concat([_bad(parts, counts), repeats, item_repeats]).sort("part", "line", maintain_order=True)
    quarantine = quarantine.with_columns(pl.col("file").cast(pl.String))
    interactions = interactions.sort("user_id", "timestamp", "part", "line")
    seen = interactions.select(pl.col("item_id").unique())
    texts = [pl.col(name) != "" for name in ("title", "description", "brand")]
    described = items.filter(pl.any_horizontal(*texts, pl.col("categories").list.len() > 0))
    summary = {
        "users": interactions["user_id"].n_unique(),
        "items": seen.height,
        "interactions": interactions.height,
        "catalogue_items": items.height,
        "items_without_metadata": seen.join(items, on="item_id", how="anti").height,
        "items_without_text": seen.join(described, on="item_id", how="anti").height,
        "events": dict(sorted(interactions["event"].value_counts().iter_rows())),
        "quarantined": dict(sorted(quarantine["reason"].value_counts().iter_rows())),
        "changes": {"events_in_both": in_both} if in_both else {},
    }
    return Merged(
        interactions.select(INTERACTIONS.names),
        items.sort("item_id").select(ITEMS.names),
        quarantine.select(QUARANTINE.names),
        summary,
    )


def _without_those_in_files(rows: pl.DataFrame, log_parts: list[int]) -> tuple[pl.DataFrame, int]:
    of_log = pl.col("part").is_in(log_parts)
    files, log = rows.filter(~of_log), rows.filter(of_log)
    new = log.join(files.select(SAME_EVENT).unique(), on=SAME_EVENT, how="anti", maintain_order="left")
    return pl.concat([files, new]), log.height - new.height


def _line_offsets(counts: list[dict]) -> list[int]:
    """Lines of the same file in the shards before each shard."""
    passed: dict[tuple[str, str], int] = {}
    offsets = []
    for count in counts:
        file = (count["kind"], count["file"])
        offsets.append(passed.get(file, 0))
        passed[file] = offsets[-1] + count["lines"]
    return offsets


def _located(parts: Path, counts: list[dict], ending: str, kind: str | None = None) -> list[pl.LazyFrame]:
    """The part files with `part` (the place in file order), `file`, and lines counted from the start of the file."""
    frames = []
    paths = sorted(parts.glob("*.json"))
    for part, (path, count, offset) in enumerate(zip(paths, counts, _line_offsets(counts), strict=True)):
        if kind is None or count["kind"] == kind:
            if ending == "rows":
                with pa.OSFile(str(rows_file(path))) as file:
                    frame = pl.DataFrame(pl.from_arrow(pa.ipc.open_file(file).read_all())).sort("line").lazy()
            else:
                frame = pl.scan_parquet(path.with_name(f"{path.stem}-{ending}.parquet"), glob=False)
            frames.append(
                frame.with_columns(
                    pl.lit(part, dtype=pl.Int32).alias("part"),
                    pl.lit(count["file"], dtype=pl.Categorical).alias("file"),
                    pl.col("line") + offset,
                )
            )
    return frames


def _rows(parts: Path, counts: list[dict], kind: str) -> pl.DataFrame:
    empty = pl.DataFrame(schema={**ROW_TYPES[kind], "part": pl.Int32, "file": pl.Categorical})
    return pl.concat([empty.lazy(), *_located(parts, counts, "rows", kind)]).collect()


_BAD_COLUMNS = ("part", "file", "line", "reason", "detail", "record")


def _bad(parts: Path, counts: list[dict]) -> pl.DataFrame:
    return pl.concat(_located(parts, counts, "bad")).select(_BAD_COLUMNS).collect()


def _without_repeats(rows: pl.DataFrame, key: list[str], reason: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The first row of every key, and quarantine rows for the others (rows are in file order)."""
    first = rows.select(pl.struct(key).is_first_distinct()).to_series()
    repeats = rows.filter(~first)
    firsts = rows.filter(first).join(repeats.select(key).unique(), on=key, how="semi")
    origin = firsts.select(*key, pl.format("first seen in {} line {}", "file", "line").alias("detail"))
    shown = pl.struct(pl.exclude("part", "file", "line", "detail")).struct.json_encode()
    quarantined = repeats.join(origin, on=key, how="left", maintain_order="left").select(
        "part",
        "file",
        "line",
        pl.lit(reason).alias("reason"),
        "detail",
        shown.str.head(MAX_RECORD_CHARS).alias("record"),
    )
    return rows.filter(first), quarantined
