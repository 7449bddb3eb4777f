"""Ingest: raw files to interactions.parquet, items.parquet and quarantine.parquet.

`plan` lists the shards, `read_shard` reads one (in any order, on any machine that sees the files), `merge` puts the
parts together. What comes out does not depend on how the files were cut.
"""

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from genrec import variants
from genrec.config import DataConfig
from genrec.data import event_rows, part_files, places
from genrec.data.amazon import listing
from genrec.data.coverage import described, metadata_warnings
from genrec.data.damage import check_share, readable, settle
from genrec.data.frames import write_frame
from genrec.data.quarantine import MAX_RECORD_CHARS, POSITION_LIMIT
from genrec.data.shards import ROW_TYPES, Shard, SourceFile, cut_into_shards, shard_bytes
from genrec.errors import DataError
from genrec.event_log import Cut
from genrec.progress import Progress, silent
from genrec.tables import INTERACTIONS_FILE, ITEMS_FILE, QUARANTINE_FILE

PACKAGE = "genrec.data.sources"


def source_files(config: DataConfig) -> list[SourceFile]:
    """The files to read; none for a source that generates them. Raises DataError where they are not there."""
    module, options = variants.build(PACKAGE, config.source, config.options)
    path = places.located(config.path) if config.path else None
    files: list[SourceFile] = places.reaching(path, lambda: module.find(path, options))
    check_share(files, config)
    return files


def fingerprint(config: DataConfig) -> dict[str, str]:
    """A digest of every source file by its name relative to the source folder; {} for a source that generates them."""
    files = sorted(source_files(config), key=lambda file: file.name)
    return {file.name: places.reaching(file.path, partial(places.digest, file.path)) for file in files}


def left_out(config: DataConfig) -> dict[str, str]:
    """Files of the source folder that are not read, by name, and why."""
    module, options = variants.build(PACKAGE, config.source, config.options)
    path = places.located(config.path) if config.path else None
    if path is None or not hasattr(module, "left_out"):
        return {}
    return places.reaching(path, lambda: module.left_out(path, options))


def plan(config: DataConfig, folder: Path, cut: Cut | None = None, log_folder: Path | None = None) -> list[Shard]:
    """The shards to read. A source that generates its files writes them to `folder`, which must stay until `merge`.

    cut: the events of the event log that are read besides, by way of a file in `log_folder`, which must stay as long.
    """
    module, options = variants.build(PACKAGE, config.source, config.options)
    if hasattr(module, "generate"):
        folder.mkdir(parents=True, exist_ok=True)
        files = module.generate(options, folder)
    else:
        files = source_files(config)
    if cut is not None and log_folder is not None:
        files = [*files, *event_rows.export(config, cut, log_folder)]
    return cut_into_shards(files)


def read_shard(shard: Shard, config: DataConfig, out: Path, progress: Progress = silent) -> None:
    """Read one shard into three part files in `out`: rows, rows set aside, and counts. Progress is in bytes."""
    if shard.from_log:
        batches = event_rows.read(shard)
    else:
        module, options = variants.build(PACKAGE, config.source, config.options)
        batches = readable(shard, lambda shard: module.read(shard, options))
    part_files.write(shard, batches, out, progress)


def read_shards(shards: list[Shard], config: DataConfig, out: Path, progress: Progress = silent) -> None:
    """Read several shards, one after the other."""
    sizes = [shard_bytes(shard) for shard in shards]
    for place, shard in enumerate(shards):
        read_shard(shard, config, out, partial(_further, progress, sum(sizes[:place]), sum(sizes)))


def _further(report: Progress, before: float, of_all: float, done: float, total: float, note: str = "", /) -> None:
    report(before + done, of_all, note)


def merge(parts: Path, config: DataConfig, out: Path) -> dict[str, Any]:
    """Put the parts together: repeats set aside, the share of bad rows checked, the three artifacts written.

    Returns users, items and interactions (distinct users and items with an interaction, rows), catalogue_items (rows
    of items.parquet), items_without_metadata, items_without_text, quarantined (reason -> rows), changes (values changed
    by a rule: see CHANGES of genrec.data.coverage), warnings (sentences), timestamps ("clock" or "position"), events
    (type -> rows). Raises DataError when too many rows are bad, none is good, or too many items have no metadata.
    """
    damaged = settle(parts, config)
    counts = [json.loads(path.read_text()) for path in sorted(parts.glob("*.json"))]
    _check_something_was_read(counts, parts)
    log_parts = [part for part, count in enumerate(counts) if count["from_log"]]
    rows, in_both = event_rows.without_those_in_files(_rows(parts, counts, "interactions"), log_parts)
    interactions, repeats = _without_repeats(rows, event_rows.SAME_EVENT, "duplicate_event")
    items, item_repeats = _without_repeats(_rows(parts, counts, "items"), ["item_id"], "duplicate_item")
    quarantine = pl.concat([_bad(parts, counts), repeats, item_repeats]).sort("part", "line", maintain_order=True)
    # Written first, so that it can be read when the share check below fails.
    write_frame(quarantine, QUARANTINE_FILE, out)
    _check_share(quarantine, counts, config)
    _check_order(interactions)
    interactions = interactions.sort("user_id", "timestamp", "part", "line")
    write_frame(interactions, INTERACTIONS_FILE, out)
    write_frame(items.sort("item_id"), ITEMS_FILE, out)
    changes: Counter[str] = Counter(events_in_both=in_both) if in_both else Counter()
    for count in counts:
        changes.update(count["changes"])
    summary = _summary(interactions, items, quarantine, config) | {"changes": dict(sorted(changes.items()))}
    return {**summary, "warnings": [*damaged, *summary["warnings"]]}


def _check_something_was_read(counts: list[dict], parts: Path) -> None:
    if not counts:
        raise DataError(
            f"{parts}: no parts to merge; the folder holds {listing(parts) if parts.is_dir() else 'nothing'}"
        )
    read = [c for c in counts if c["kind"] == "interactions"]
    if sum(c["rows"] + c["bad"] for c in read) == 0:
        names = ", ".join(sorted({c["file"] for c in read})) or "no file"
        raise DataError(f"there is no interaction in {names}; set data.path to files that hold some")


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


def _check_share(quarantine: pl.DataFrame, counts: list[dict], config: DataConfig) -> None:
    """Stop above the configured share, for interactions and items alike: many good items excuse no lost events."""
    for kind in ("interactions", "items"):
        parts = [part for part, count in enumerate(counts) if count["kind"] == kind]
        total = sum(counts[part]["rows"] + counts[part]["bad"] for part in parts)
        bad = quarantine.filter(pl.col("part").is_in(parts))
        if total == 0 or bad.height <= config.max_quarantine_share * total:
            continue
        by_reason = bad["reason"].value_counts(sort=True)
        reason, number = by_reason.sort("count", "reason", descending=[True, False]).row(0)
        file, line, detail = bad.filter(pl.col("reason") == reason).select("file", "line", "detail").row(0)
        raise DataError(
            f"{bad.height} of {total} rows of {kind} ({bad.height / total:.1%}) cannot be used, more than "
            f"data.max_quarantine_share = {config.max_quarantine_share:g}. Most often {reason} ({number} rows), "
            f"first in {file} line {line}: {detail}. {_fix(reason)}, or raise the share"
        )


def _fix(reason: str) -> str:
    if reason == "bad_utf8":
        return "Write the file in UTF-8, set data.options.encoding (to cp1252, say) where it is CSV"
    return "Mend the file, check data.source"


def _check_order(interactions: pl.DataFrame) -> None:
    """Raises DataError where all times are 0 and users have several events."""
    times, users = interactions["timestamp"], interactions["user_id"]
    if interactions.height > users.n_unique() and times.min() == times.max() == 0:
        raise DataError(
            f"{interactions['file'][0]}: every timestamp is 0, so that the order of a user's events is not known; write "
            "times, or positions in each user's sequence"
        )


def _summary(
    interactions: pl.DataFrame, items: pl.DataFrame, quarantine: pl.DataFrame, config: DataConfig
) -> dict[str, Any]:
    seen = interactions.select(pl.col("item_id").unique())
    latest = interactions["timestamp"].max()
    return {
        "users": interactions["user_id"].n_unique(),
        "items": seen.height,
        "interactions": interactions.height,
        "catalogue_items": items.height,
        "items_without_metadata": seen.join(items, on="item_id", how="anti").height,
        "items_without_text": seen.join(described(items), on="item_id", how="anti").height,
        "warnings": metadata_warnings(seen, items, config),
        "events": dict(sorted(interactions["event"].value_counts().iter_rows())),
        "timestamps": "position" if isinstance(latest, int) and latest < POSITION_LIMIT else "clock",
        "quarantined": dict(sorted(quarantine["reason"].value_counts().iter_rows())),
    }
