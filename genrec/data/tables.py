"""Reading CSV and Parquet tables: files, columns, units of time."""

from __future__ import annotations

import difflib
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.data import csv_rows
from genrec.data.amazon import listing
from genrec.data.quarantine import POSITION_LIMIT, check_interactions, check_items, clip
from genrec.data.shards import BadRow, Batch, Kind, Shard, SourceFile
from genrec.errors import DataError

if TYPE_CHECKING:
    from genrec.data.sources.table import Config

REQUIRED = {"interactions": ("user_id", "item_id", "timestamp"), "items": ("item_id",)}
OPTIONAL = {"interactions": ("event", "rating"), "items": ("title", "description", "brand", "categories")}
ENDINGS = (".parquet", ".csv", ".csv.gz")
ANY_NUMBER = (float("-inf"), float("inf"))
HEAD_ROWS = 1000
BATCH_ROWS = 65_536

MS_PER_UNIT = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6, "position": 1.0}


# ---- files and columns ------------------------------------------------------------------------------------------------


def find_files(path: Path | None, options: Config) -> list[SourceFile]:
    """The interactions and items files: one of each, and any number of parts that came later.

    Parts are called `interactions-*` or lie in a folder `interactions/` (`items` alike), in any of the formats. A file
    that is named in the options stands alone. Raises DataError that lists what is there when a kind has none.
    """
    if path is None or not path.is_dir():
        where = "is not set" if path is None else f"is {path}, which is not a folder"
        raise DataError(
            f"data.path {where}; set it to the folder with interactions.parquet and items.parquet (or .csv)"
        )
    kinds: tuple[tuple[Kind, str], ...] = (("interactions", options.interactions), ("items", options.items))
    files = []
    for kind, named in kinds:
        candidates = [named] if named else [kind + ending for ending in ENDINGS]
        present = [name for name in candidates if (path / name).is_file()][:1]
        present += [] if named else _parts(path, kind)
        if not present:
            raise DataError(
                f"data.path: no {' or '.join(candidates)} in {path}; it holds {listing(path)}. "
                f"Name the file in data.options.{kind}"
            )
        if not present[0].endswith(ENDINGS):
            raise DataError(f"data.options.{kind}: {present[0]} is neither of {', '.join(ENDINGS)}")
        files += [SourceFile(kind, path / name, name) for name in present]
    return files


def _parts(path: Path, kind: str) -> list[str]:
    """Names below `path` of the files of a kind that came in parts, sorted."""
    found = [p for pattern in (f"{kind}-*", f"{kind}/*") for p in path.glob(pattern)]
    names = [p.relative_to(path).as_posix() for p in found if p.is_file() and p.name.endswith(ENDINGS)]
    return sorted(name for name in names if not Path(name).name.startswith("."))


def is_parquet(path: Path) -> bool:
    return path.name.endswith(".parquet")


def column_names(path: Path, name: str, options: Config) -> list[str]:
    """The columns of a file, from its footer or header."""
    if is_parquet(path):
        return open_parquet(path, name).schema_arrow.names
    return csv_rows.header(path, name, options.delimiter)


def open_parquet(path: Path, name: str) -> pq.ParquetFile:
    """Open a Parquet file; a DataError names it where it is none."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{name}: not a readable Parquet file ({clip(str(error), 120)})") from error


def check_columns(file: SourceFile, options: Config) -> None:
    """Every mapped column that is needed is there, and no column is there that nobody reads.

    A misspelt name would otherwise lose a whole column without a word.
    """
    present = column_names(file.path, file.name, options)
    known = {getattr(options, field): field for field in REQUIRED[file.kind] + OPTIONAL[file.kind]}
    unknown = [column for column in present if column not in known and column not in options.ignore]
    for field in REQUIRED[file.kind]:
        column = getattr(options, field)
        if column not in present:
            raise DataError(
                f"{file.name}: no column {column!r}; it has {', '.join(map(repr, present))}.{_guess(column, unknown)} "
                f"Map it with data.options.{field}"
            )
    if unknown:
        column = unknown[0]
        raise DataError(
            f"{file.name}: unknown column {column!r}.{_guess(column, [c for c in known if c not in present])} "
            "Rename or map it (data.options.<field>: <column>), or list it in data.options.ignore"
        )


def _guess(name: str, candidates: list[str]) -> str:
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


# ---- rows -------------------------------------------------------------------------------------------------------------


def read_shard(shard: Shard, options: Config) -> Iterator[Batch]:
    """The batches of a shard of either kind and format."""
    unit = time_unit(shard, options) if shard.kind == "interactions" else ""
    raw = _parquet_batches(shard) if is_parquet(shard.path) else csv_rows.batches(shard, options.delimiter)
    for lines, columns, bad, num_lines in raw:
        frame = pl.DataFrame({"line": pl.Series(lines, dtype=pl.Int64)}).with_columns(columns)
        if shard.kind == "interactions":
            rows, also_bad = _interactions(shard, frame, options, unit)
        else:
            rows, also_bad = _items(shard, frame, options)
        yield Batch(rows, bad + also_bad, num_lines)


RawBatch = tuple[pl.Series, list[pl.Series], list[BadRow], int]


def _parquet_batches(shard: Shard) -> Iterator[RawBatch]:
    file = open_parquet(shard.path, shard.name)
    groups = list(range(file.metadata.num_row_groups))[shard.start : shard.end]
    num_rows = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups):
        frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
        lines = pl.int_range(num_rows + 1, num_rows + frame.height + 1, eager=True)
        num_rows += frame.height
        yield lines, frame.get_columns(), [], num_rows


def _column(frame: pl.DataFrame, name: str, dtype: Any) -> pl.Series:
    return (
        frame[name] if name in frame.columns else pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height)
    )


def _ids(shard: Shard, column: pl.Series) -> pl.Series:
    """Ids as text; whole numbers are fine, other types are not ids."""
    if column.dtype.is_integer() or column.dtype in (pl.String, pl.Categorical, pl.Null):
        return column.cast(pl.String)
    if column.dtype.is_float() and bool((column.drop_nulls() == column.drop_nulls().round()).all()):
        return column.cast(pl.Int64).cast(pl.String)
    raise DataError(f"{shard.name}: column {column.name!r} holds {column.dtype}; ids are text or whole numbers")


def _interactions(shard: Shard, frame: pl.DataFrame, options: Config, unit: str) -> tuple[pl.DataFrame, list[BadRow]]:
    time, time_wrong = _time(frame[options.timestamp], unit)
    rating, rating_wrong = _number(_column(frame, options.rating, pl.Float64))
    event = _column(frame, options.event, pl.String).cast(pl.String).str.strip_chars().str.to_lowercase()
    typed = pl.DataFrame(
        [
            frame["line"],
            _ids(shard, frame[options.user_id]).alias("user_id"),
            _ids(shard, frame[options.item_id]).alias("item_id"),
            time.alias("timestamp"),
            event.alias("event"),
            rating.alias("rating"),
            time_wrong.alias("time_wrong"),
            rating_wrong.alias("rating_wrong"),
        ]
    ).with_columns(
        pl.when(pl.col("event").fill_null("") == "")
        .then(pl.lit(options.default_event))
        .otherwise("event")
        .alias("event"),
        pl.coalesce("time_wrong", "rating_wrong").alias("wrong"),
    )
    return check_interactions(typed, _record_of(frame), positions=unit == "position", rating_bounds=ANY_NUMBER)


def _items(shard: Shard, frame: pl.DataFrame, options: Config) -> tuple[pl.DataFrame, list[BadRow]]:
    categories = _column(frame, options.categories, pl.String)
    if categories.dtype == pl.List:
        categories = categories.cast(pl.List(pl.String)).list.drop_nulls()
    else:
        parts = categories.cast(pl.String).str.split(options.category_delimiter)
        categories = parts.list.eval(pl.element().str.strip_chars()).list.eval(pl.element().filter(pl.element() != ""))
    typed = pl.DataFrame(
        [
            frame["line"],
            _ids(shard, frame[options.item_id]).alias("item_id"),
            *(
                _column(frame, getattr(options, field), pl.String).cast(pl.String).alias(field)
                for field in ("title", "description", "brand")
            ),
            categories.alias("categories").fill_null([]),
            pl.Series("wrong", [None], dtype=pl.String).new_from_index(0, frame.height),
        ]
    )
    return check_items(typed, _record_of(frame))


def _record_of(frame: pl.DataFrame) -> Any:
    shown = frame.drop("line")
    return lambda row: str(shown.row(row, named=True))


def _number(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """A column as float64 and, where a text is no number, what stands there."""
    nothing = pl.Series("wrong", [None], dtype=pl.String).new_from_index(0, len(column))
    if column.dtype != pl.String:
        return column.cast(pl.Float64), nothing
    text = column.str.strip_chars()
    text = text.set(text == "", None)
    number = text.cast(pl.Float64, strict=False)
    wrong = (column.name + " is " + text).set(~(number.is_null() & text.is_not_null()), None)
    return number, wrong


def _time(column: pl.Series, unit: str) -> tuple[pl.Series, pl.Series]:
    """Milliseconds (or positions) as float64, whole where the unit is finer, and what is of the wrong type."""
    if column.dtype.is_temporal():
        whole = column.cast(pl.Datetime("ms")).dt.timestamp("ms")
        return whole.cast(pl.Float64), pl.Series("wrong", [None], dtype=pl.String).new_from_index(0, len(column))
    if unit == "iso":
        text = column.cast(pl.String).str.strip_chars()
        text = text.set(text == "", None)
        time = iso_milliseconds(text)
        return time, (column.name + " is " + text).set(~(time.is_null() & text.is_not_null()), None)
    number, wrong = _number(column)
    if unit == "position":
        return number, wrong
    return (number * MS_PER_UNIT[unit]).round(3).floor(), wrong


def iso_milliseconds(text: pl.Series) -> pl.Series:
    """Milliseconds since 1970 (float64) of ISO 8601 dates and times; without an offset they are UTC; null where none.

    Offsets are taken apart by hand, because one format string cannot read rows with and without them.
    """
    name = text.name
    parts = pl.DataFrame({"text": text}).select(
        pl.col("text").str.extract(r"^(\d{4}-\d{2}-\d{2})").str.to_date("%Y-%m-%d", strict=False).alias("date"),
        pl.col("text")
        .str.extract_groups(
            r"^\d{4}-\d{2}-\d{2}(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)? ?"
            r"(?:Z|z|([+-])(\d{2}):?(\d{2})?)?$"
        )
        .alias("t"),
    )
    field = lambda i: pl.col("t").struct.field(str(i)).cast(pl.Float64, strict=False).fill_null(0.0)  # noqa: E731
    fraction = ("0." + pl.col("t").struct.field("4")).cast(pl.Float64, strict=False).fill_null(0.0)
    sign = pl.when(pl.col("t").struct.field("5") == "-").then(-1.0).otherwise(1.0)
    clock_s = field(1) * 3600 + field(2) * 60 + field(3)
    offset_s = sign * (field(6) * 3600 + field(7) * 60)
    matched = pl.DataFrame({"text": text})["text"].str.contains(
        r"^\d{4}-\d{2}-\d{2}(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?)? ?(?:Z|z|[+-]\d{2}:?(?:\d{2})?)?$"
    )
    days_ms = pl.col("date").cast(pl.Datetime("ms")).dt.timestamp("ms").cast(pl.Float64)
    time = parts.select((days_ms + (clock_s - offset_s) * 1000 + (fraction * 1000).floor()).alias(name))[name]
    return time.set(~matched.fill_null(False), None)


# ---- unit of time -----------------------------------------------------------------------------------------------------


def time_unit(shard: Shard, options: Config) -> str:
    """The unit of the file's time column: as configured, or decided by the median of the first values.

    Every shard of a file looks at the same head, so that all of them decide alike.
    """
    if options.timestamp_unit != "auto":
        return options.timestamp_unit
    head = _head(shard, options)
    if head.dtype.is_temporal():
        return "ms"
    numbers, _ = _number(head)
    values = numbers.drop_nulls().abs().to_list()
    if len(values) * 2 < len(head.drop_nulls()) or not values:
        return "iso"
    typical = statistics.median(values)
    for unit, limit in (("position", POSITION_LIMIT), ("s", 1e11), ("ms", 1e14), ("us", 1e17)):
        if typical < limit:
            return unit
    return "ns"


def _head(shard: Shard, options: Config) -> pl.Series:
    whole = Shard(0, shard.kind, shard.path, shard.name)
    if is_parquet(shard.path):
        file = open_parquet(shard.path, shard.name)
        for batch in file.iter_batches(batch_size=HEAD_ROWS, columns=[options.timestamp]):
            return pl.Series(options.timestamp, pl.from_arrow(batch.column(0)))
    for _, columns, _, _ in csv_rows.batches(whole, options.delimiter, batch_rows=HEAD_ROWS):
        return next(c for c in columns if c.name == options.timestamp)
    return pl.Series(options.timestamp, [], dtype=pl.Float64)
