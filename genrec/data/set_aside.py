"""The rows that ingest sets aside, collected in any order and written in the order of the files."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data.frames import TableWriter
from genrec.data.quarantine import MAX_RECORD_CHARS
from genrec.data.sorted_runs import RunWriter, SortedRuns, ranges
from genrec.errors import DataError
from genrec.tables import QUARANTINE, QUARANTINE_FILE

_ORDER = ["part", "line", "origin"]  # origin: of rows of one line, which come first
_SCHEMA: dict[str, Any] = {
    "part": pl.Int32(),
    "line": pl.Int64(),
    "origin": pl.Int8(),
    "reason": pl.String(),
    "detail": pl.String(),
    "record": pl.String(),
}
_Place = tuple[int, int, int]


class SetAside:
    """Collect rows set aside in a `with`, then `write` and `check_share`. files: the file of each part, by its number."""

    def __init__(self, path: Path, files: Mapping[int, str]) -> None:
        self.files = dict(files)
        self._writer = RunWriter(path, _ORDER, _SCHEMA)
        self._counts: Counter[tuple[str, str]] = Counter()  # (kind, reason)
        self._examples: dict[tuple[str, str], tuple[_Place, str]] = {}  # of the first row in the order of the files

    def __enter__(self) -> "SetAside":
        self._writer.__enter__()
        return self

    def __exit__(self, kind: type | None, *rest: object) -> None:
        self._writer.__exit__(kind, *rest)

    def add(self, rows: pl.DataFrame, kind: str, origin: int) -> None:
        """rows: part, line, reason, detail, record. kind: interactions or items."""
        rows = rows.with_columns(pl.lit(origin, dtype=pl.Int8).alias("origin")).select(list(_SCHEMA))
        self._writer.add(rows)
        firsts = rows.sort("part", "line", maintain_order=True).group_by("reason", maintain_order=True)
        for reason, number, part, line, detail in firsts.agg(
            pl.len(), *(pl.col(name).first() for name in ("part", "line", "detail"))
        ).iter_rows():
            self._counts[kind, reason] += number
            place = (part, line, origin)
            known = self._examples.get((kind, reason))
            if known is None or place < known[0]:
                self._examples[kind, reason] = place, detail

    def first_of(self, rows: pl.DataFrame, key: list[str], kind: str, reason: str, origin: int) -> pl.Series:
        """Set all but the first row of every key aside. Returns `row` of the rows that are kept.

        rows: row (a number), part, line and the columns of `kind`; rows with one key are in the order of the files.
        """
        first = rows.select(pl.struct(key).is_first_distinct()).to_series()
        kept = rows.filter(first)
        if kept.height < rows.height:
            file = pl.col("part").replace_strict(self.files, return_dtype=pl.String)
            seen = pl.format("first seen in {} line {}", file, "line").alias("detail")
            shown = pl.struct(pl.exclude("row", "part", "line", "detail")).struct.json_encode()
            repeats = rows.filter(~first).join(kept.select(*key, seen), on=key, how="left", maintain_order="left")
            record = shown.str.head(MAX_RECORD_CHARS).alias("record")
            self.add(repeats.select("part", "line", pl.lit(reason).alias("reason"), "detail", record), kind, origin)
        return kept["row"]

    def write(self, out: Path) -> None:
        """Write quarantine.parquet, when all rows were added."""
        runs = SortedRuns([self._writer.path], _ORDER, _SCHEMA)
        file = pl.col("part").replace_strict(self.files, return_dtype=pl.String).alias("file")
        with TableWriter(QUARANTINE_FILE.path(out), QUARANTINE) as written:
            for low, high in ranges(runs):
                written.write_frame(runs.read(low, high).with_columns(file))

    def by_reason(self) -> dict[str, int]:
        """Rows by reason, in the order of the reasons."""
        totals: Counter[str] = Counter()
        for (_, reason), number in self._counts.items():
            totals[reason] += number
        return dict(sorted(totals.items()))

    def check_share(self, totals: Mapping[str, int], limit: float) -> None:
        """Raises DataError where more than `limit` of the rows of a kind were set aside; totals: rows read by kind.

        For interactions and items alike: many good items excuse no lost events.
        """
        for kind in ("interactions", "items"):
            counts = {reason: number for (of, reason), number in self._counts.items() if of == kind}
            total, bad = totals.get(kind, 0), sum(counts.values())
            if total == 0 or bad <= limit * total:
                continue
            reason, number = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            (part, line, _), detail = self._examples[kind, reason]
            raise DataError(
                f"{bad} of {total} rows of {kind} ({bad / total:.1%}) cannot be used, more than "
                f"data.max_quarantine_share = {limit:g}. Most often {reason} ({number} rows), "
                f"first in {self.files[part]} line {line}: {detail}. {_fix(reason)}, or raise the share"
            )


def _fix(reason: str) -> str:
    if reason == "bad_utf8":
        return "Write the file in UTF-8, set data.options.encoding (to cp1252, say) where it is CSV"
    return "Mend the file, check data.source"
