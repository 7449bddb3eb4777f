"""The merge of ingest: the parts of all shards to interactions.parquet, items.parquet and quarantine.parquet.

Rows are sorted outside of memory (genrec.data.sorted_runs) and worked on a range of users, or of items, at a time. What
is held beside a range are counts and a few examples, so that memory does not grow with the rows, nor with the events of
one user or item. Only the rows of one user at one time, or of one item id in the metadata, must fit together.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow.parquet as pq

from genrec.config import DataConfig
from genrec.data import event_rows
from genrec.data.amazon import listing
from genrec.data.coverage import MetadataCoverage
from genrec.data.damage import settle
from genrec.data.frames import TableWriter
from genrec.data.part_files import ORDERS, marks, rows_file
from genrec.data.quarantine import POSITION_LIMIT
from genrec.data.set_aside import SetAside
from genrec.data.shards import ROW_TYPES
from genrec.data.sorted_runs import RunWriter, SortedRuns, one_ahead, ranges
from genrec.data.spill import spill_folder
from genrec.errors import DataError
from genrec.tables import INTERACTIONS, INTERACTIONS_FILE, ITEMS, ITEMS_FILE

_SEEN = {"item_id": pl.String()}


class _Part(NamedTuple):
    """The part files of one shard."""

    number: int  # its place in the order of the files
    mark: Path
    counts: dict[str, Any]
    lines_before: int  # of the same file in earlier shards

    def bad(self) -> Iterator[pl.DataFrame]:
        """The rows that were set aside, with `part`, and lines counted from the start of the file."""
        file = pq.ParquetFile(self.mark.with_name(f"{self.mark.stem}-bad.parquet"))
        for group in range(file.num_row_groups):
            yield self.placed(pl.DataFrame(pl.from_arrow(file.read_row_group(group))))

    def placed(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col("line") + self.lines_before, pl.lit(self.number, dtype=pl.Int32).alias("part"))


class _Merged(NamedTuple):
    """What is told of the interactions that were written."""

    users: int
    rows: int
    latest: int
    in_both: int  # events of the event log that a file has too
    events: Counter[str]


def merge(parts: Path, config: DataConfig, out: Path) -> dict[str, Any]:
    """Put the parts together: repeats set aside, the share of bad rows checked, the three artifacts written.

    Returns users, items and interactions (distinct users and items with an interaction, rows), catalogue_items (rows
    of items.parquet), items_without_metadata, items_without_text, quarantined (reason -> rows), changes (values changed
    by a rule: see CHANGES of genrec.data.coverage), warnings (sentences), timestamps ("clock" or "position"), events
    (type -> rows). Raises DataError when too many rows are bad, none is good, or too many items have no metadata.
    """
    damaged = settle(parts, config)
    found = _parts(parts)
    _check_something_was_read([part.counts for part in found], parts)
    out.mkdir(parents=True, exist_ok=True)
    with spill_folder(parts) as spill:
        with SetAside(spill / "quarantine", {part.number: part.counts["file"] for part in found}) as aside:
            for part in found:
                for bad in part.bad():
                    aside.add(bad, part.counts["kind"], 0)
            merged = _merge_events(found, aside, spill, out)
            coverage = _merge_items(found, aside, spill, out)
        aside.write(out)  # before the checks, so that it can be read when one of them fails
        aside.check_share(_rows_by_kind(found), config.max_quarantine_share)
        _check_order(merged, found)
        warnings = coverage.warnings(config)
    changes: Counter[str] = Counter(events_in_both=merged.in_both) if merged.in_both else Counter()
    for part in found:
        changes.update(part.counts["changes"])
    return {
        "users": merged.users,
        "interactions": merged.rows,
        **coverage.counts(),
        "warnings": [*damaged, *warnings],
        "events": dict(sorted(merged.events.items())),
        "timestamps": "position" if merged.rows and merged.latest < POSITION_LIMIT else "clock",
        "quarantined": aside.by_reason(),
        "changes": dict(sorted(changes.items())),
    }


def _parts(parts: Path) -> list[_Part]:
    """The parts in the order of the files."""
    passed: dict[tuple[str, str], int] = {}
    found = []
    for number, path in enumerate(marks(parts)):
        count = json.loads(path.read_text())
        file = (count["kind"], count["file"])
        found.append(_Part(number, path, count, passed.get(file, 0)))
        passed[file] = found[-1].lines_before + count["lines"]
    return found


def _check_something_was_read(counts: list[dict], parts: Path) -> None:
    if not counts:
        raise DataError(
            f"{parts}: no parts to merge; the folder holds {listing(parts) if parts.is_dir() else 'nothing'}"
        )
    read = [c for c in counts if c["kind"] == "interactions"]
    if sum(c["rows"] + c["bad"] for c in read) == 0:
        names = ", ".join(sorted({c["file"] for c in read})) or "no file"
        raise DataError(f"there is no interaction in {names}; set data.path to files that hold some")


def _rows_by_kind(found: list[_Part]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for part in found:
        totals[part.counts["kind"]] += part.counts["rows"] + part.counts["bad"]
    return totals


def _sorted_runs(parts: list[_Part], kind: str) -> SortedRuns:
    """The rows of parts of one kind, with `part`; equal keys in the order of the files."""
    files = [rows_file(part.mark) for part in parts]
    schema = {**ROW_TYPES[kind], "part": pl.Int32()}
    return SortedRuns(files, ORDERS[kind], schema, lambda number, rows: parts[number].placed(rows))


# ---- interactions -----------------------------------------------------------------------------------------------------


def _merge_events(found: list[_Part], aside: SetAside, spill: Path, out: Path) -> _Merged:
    """Write interactions.parquet, and the ids of its items to the runs `seen` in `spill`."""
    parts = [part for part in found if part.counts["kind"] == "interactions"]
    latest: dict[bool, int] = {}  # by whether the rows are the event log's
    for part in parts:
        from_log, newest = part.counts["from_log"], part.counts["latest"]
        if newest is not None:
            latest[from_log] = max(newest, latest.get(from_log, newest))
    log_parts = [part.number for part in parts if part.counts["from_log"]]
    if len(latest) == 2:
        event_rows.check_clock(_first_file(parts), latest[False])
    events: Counter[str] = Counter()
    users = in_both = 0
    last_user = None
    runs = _sorted_runs(parts, "interactions")
    with (
        TableWriter(INTERACTIONS_FILE.path(out), INTERACTIONS) as written,
        RunWriter(spill / "seen", ["item_id"], _SEEN) as seen,
    ):
        for rows in one_ahead(runs.read, ranges(runs)):
            rows, both = _without_repeats(rows, aside, log_parts)
            in_both += both
            if not rows.height:
                continue
            written.write_frame(rows)
            seen.add(rows.select(pl.col("item_id").unique()))
            events.update(dict(rows["event"].value_counts().iter_rows()))
            users += rows["user_id"].rle_id().max() + (rows["user_id"][0] != last_user)  # type: ignore[operator]
            last_user = rows["user_id"][-1]
    return _Merged(users, written.num_rows, max(latest.values(), default=0), in_both, events)


def _without_repeats(rows: pl.DataFrame, aside: SetAside, log_parts: list[int]) -> tuple[pl.DataFrame, int]:
    """The first row of every event, the others set aside; and how many events of the log were left out (see event_rows).

    rows: a range of events, sorted.
    """
    near = _has_equal_neighbour(rows, ORDERS["interactions"])
    if not near.any():
        return rows, 0
    rows = rows.with_row_index("row")
    candidates, in_both = event_rows.without_those_in_files(rows.filter(near), log_parts)
    kept = aside.first_of(candidates, event_rows.SAME_EVENT, "interactions", "duplicate_event", 1)
    return rows.filter(~near | pl.col("row").is_in(kept.implode())), in_both


def _has_equal_neighbour(rows: pl.DataFrame, key: list[str]) -> pl.Series:
    """Which of the sorted rows have the key of the row before or after them."""
    as_before = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in key)
    return rows.select(as_before | as_before.shift(-1).fill_null(False)).to_series()


def _first_file(parts: list[_Part]) -> str:
    """Of the first row."""
    return next(part.counts["file"] for part in parts if part.counts["rows"])


def _check_order(merged: _Merged, found: list[_Part]) -> None:
    """Raises DataError where all times are 0 and users have several events."""
    if merged.rows > merged.users and merged.latest == 0:  # times are never negative
        file = _first_file([part for part in found if part.counts["kind"] == "interactions"])
        raise DataError(
            f"{file}: every timestamp is 0, so that the order of a user's events is not known; write "
            "times, or positions in each user's sequence"
        )


# ---- items ------------------------------------------------------------------------------------------------------------


def _merge_items(found: list[_Part], aside: SetAside, spill: Path, out: Path) -> MetadataCoverage:
    """Write items.parquet, and compare its ids with the `seen` ones."""
    runs = _sorted_runs([part for part in found if part.counts["kind"] == "items"], "items")
    seen = SortedRuns([spill / "seen"], ["item_id"], _SEEN)
    with TableWriter(ITEMS_FILE.path(out), ITEMS) as written, MetadataCoverage(spill / "unused.parquet") as coverage:
        for low, high in ranges(runs, seen):
            items = runs.read(low, high)
            near = _has_equal_neighbour(items, ["item_id"])
            if near.any():
                items = items.with_row_index("row")
                kept = aside.first_of(items.filter(near), ["item_id"], "items", "duplicate_item", 2)
                items = items.filter(~near | pl.col("row").is_in(kept.implode()))
            written.write_frame(items)
            coverage.add(seen.read(low, high).unique(maintain_order=True), items)
    return coverage
