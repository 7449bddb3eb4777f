"""Columns of tables as typed values: Parquet files, ids, numbers and times of any unit."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.data.quarantine import POSITION_LIMIT, clip
from genrec.data.shards import BadRow, Shard
from genrec.errors import DataError

BATCH_ROWS = 65_536
MS_PER_UNIT = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6, "position": 1.0}
_UNIT_LIMITS = (("position", POSITION_LIMIT), ("s", 1e11), ("ms", 1e14), ("us", 1e17))  # a value below it, in the unit


class RawBatch(NamedTuple):
    """Rows of a file before their values are typed."""

    lines: pl.Series  # int64, 1-based from the start of the shard
    columns: list[pl.Series]
    bad: list[BadRow]
    num_lines: int  # passed so far
    share: float  # of the shard, passed so far, 0..1


def is_parquet(path: Path) -> bool:
    return path.name.endswith(".parquet")


def open_parquet(path: Path, name: str) -> pq.ParquetFile:
    """Open a Parquet file; a DataError names it where it is none."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{name}: not a readable Parquet file ({clip(str(error), 120)})") from error


def parquet_batches(shard: Shard) -> Iterator[RawBatch]:
    """The rows of a shard of a Parquet file."""
    file = open_parquet(shard.path, shard.name)
    groups = list(range(file.metadata.num_row_groups))[shard.start : shard.end]
    total = sum(file.metadata.row_group(group).num_rows for group in groups)
    num_rows = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups):
        frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
        lines = pl.int_range(num_rows + 1, num_rows + frame.height + 1, eager=True)
        num_rows += frame.height
        yield RawBatch(lines, frame.get_columns(), [], num_rows, num_rows / total)


def column_or_nulls(frame: pl.DataFrame, name: str, dtype: Any) -> pl.Series:
    """The column of that name, or nulls of type `dtype` where the file has none."""
    return (
        frame[name] if name in frame.columns else pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height)
    )


def ids(file: str, column: pl.Series) -> pl.Series:
    """Ids as text; whole numbers are fine. Raises DataError for other types, with the name of the file."""
    if column.dtype.is_integer() or column.dtype in (pl.String, pl.Categorical, pl.Null):
        return column.cast(pl.String)
    if column.dtype.is_float() and bool((column.drop_nulls() == column.drop_nulls().round()).all()):
        return column.cast(pl.Int64).cast(pl.String)
    raise DataError(f"{file}: column {column.name!r} holds {column.dtype}; ids are text or whole numbers")


def numbers(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """A column as float64 and, where a text is no number, what stands there."""
    nothing = pl.Series("wrong", [None], dtype=pl.String).new_from_index(0, len(column))
    if column.dtype != pl.String:
        return column.cast(pl.Float64), nothing
    text = column.str.strip_chars()
    text = text.set(text == "", None)
    number = text.cast(pl.Float64, strict=False)
    wrong = (column.name + " is " + text).set(~(number.is_null() & text.is_not_null()), None)
    return number, wrong


def times(column: pl.Series, unit: str) -> tuple[pl.Series, pl.Series]:
    """Milliseconds (or positions) as float64, whole where the unit is finer, and what is of the wrong type."""
    if column.dtype.is_temporal():
        whole = column.cast(pl.Datetime("ms")).dt.timestamp("ms")
        return whole.cast(pl.Float64), pl.Series("wrong", [None], dtype=pl.String).new_from_index(0, len(column))
    if unit == "iso":
        text = column.cast(pl.String).str.strip_chars()
        text = text.set(text == "", None)
        time = iso_milliseconds(text)
        return time, (column.name + " is " + text).set(~(time.is_null() & text.is_not_null()), None)
    number, wrong = numbers(column)
    if unit == "position":
        return number, wrong
    return (number * MS_PER_UNIT[unit]).round(3).floor(), wrong


def iso_milliseconds(text: pl.Series) -> pl.Series:
    """Milliseconds since 1970 (float64) of ISO 8601 dates and times; without an offset they are UTC; null where none.

    Every accepted form is completed to one, because a format string reads rows either with or without an offset: a
    str.to_datetime for each form took 1.4 times as long.
    """
    part = lambda number: pl.col("parts").struct.field(str(number))  # noqa: E731
    complete = pl.format(
        "{} {}:{}.{}{}:{}",
        part(1),
        part(2).fill_null("00:00"),
        part(3).fill_null("00"),
        part(4).fill_null("0"),
        part(5).fill_null("+00"),
        part(6).fill_null("00"),
    )
    time = complete.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z", time_unit="ms", time_zone="UTC", strict=False)
    parts = pl.DataFrame({"text": text}).select(pl.col("text").str.extract_groups(_ISO).alias("parts"))
    return parts.select(time.dt.timestamp("ms").cast(pl.Float64).alias(text.name)).to_series()


_ISO = (  # date, hours and minutes, seconds, fraction, offset: hours, minutes
    r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::([0-5]\d)(?:[.,](\d{1,9}))?)?)?"
    r" ?(?:[Zz]|([+-]\d{2}):?(\d{2})?)?$"
)


def unit_of(head: pl.Series) -> str:
    """The unit of a time column, decided by the median of its first values."""
    if head.dtype.is_temporal():
        return "ms"
    parsed, _ = numbers(head)
    values = parsed.drop_nulls().abs().to_list()
    if len(values) * 2 < len(head.drop_nulls()) or not values:
        return "iso"
    typical = statistics.median(values)
    return next((unit for unit, limit in _UNIT_LIMITS if typical < limit), "ns")
