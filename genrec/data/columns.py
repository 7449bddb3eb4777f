"""Columns of Parquet files, as Polars reads them."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.data.places import opened
from genrec.data.quarantine import clip
from genrec.data.shards import BadRow, Shard
from genrec.errors import DamagedFile, DataError

BATCH_ROWS = 65_536
_Read = TypeVar("_Read")


class RawBatch(NamedTuple):
    """Rows of a file before their values are typed."""

    lines: pl.Series  # int64, 1-based from the start of the shard
    columns: list[pl.Series]
    bad: list[BadRow]
    num_lines: int  # passed so far
    share: float  # of the shard, passed so far, 0..1
    changes: Mapping[str, int] = MappingProxyType({})


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def open_parquet(path: Path, name: str) -> pq.ParquetFile:
    """Open a Parquet file; a DamagedFile names it where it is none."""
    try:
        return pq.ParquetFile(opened(path))
    except (pa.ArrowException, OSError) as error:
        if not _of_the_content(error):
            raise
        raise DamagedFile(f"{name}: not a readable Parquet file ({clip(str(error), 120)})") from error


def _of_the_content(error: Exception) -> bool:
    """Whether an error of Arrow tells of the content of a file, and not of the network, the disk or the memory: what
    these fail at may be read later. Arrow says with a plain OSError that bytes cannot be decompressed or parsed.
    """
    if isinstance(error, OSError):
        return type(error) is OSError and error.errno is None
    return not isinstance(error, pa.ArrowMemoryError | pa.ArrowCancelled)


def parquet_batches(shard: Shard, names: list[str]) -> Iterator[RawBatch]:
    """The rows of a shard of a Parquet file: those of its columns that `names` has."""
    file = open_parquet(shard.path, shard.name)
    groups = list(range(file.metadata.num_row_groups))[shard.start : shard.end]
    total = sum(file.metadata.row_group(group).num_rows for group in groups)
    num_rows = 0
    present = [name for name in file.schema_arrow.names if name in names]
    batches = file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=present)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            if not _of_the_content(error):
                raise
            raise DamagedFile(f"{shard.name}: cannot be read after row {num_rows} ({clip(str(error), 120)})") from error
        if batch is None:
            return
        columns = [as_series(shard.name, name, batch.column(name)) for name in present]
        lines = pl.int_range(num_rows + 1, num_rows + batch.num_rows + 1, eager=True)
        num_rows += batch.num_rows
        yield RawBatch(lines, columns, [], num_rows, num_rows / max(1, total))


def as_series(file: str, name: str, array: Any) -> pl.Series:
    """An Arrow column: dictionaries (pandas `category`) by their values, UUIDs as text, other extensions as stored."""

    def plain() -> pl.Series:
        column = array
        if isinstance(column.type, pa.BaseExtensionType):
            is_uuid = column.type.extension_name == "arrow.uuid"
            column = column.storage
            if is_uuid:
                column = pa.array([value and str(uuid.UUID(bytes=value)) for value in column.to_pylist()], pa.string())
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return pl.Series(name, pl.from_arrow(column))

    return reading_column(file, name, str(array.type), plain)


def reading_column(file: str, name: str, kind: str, read: Callable[[], _Read]) -> _Read:
    """What `read` gives; an error of Polars or Arrow becomes a DataError that names file, column and fix."""
    try:
        return read()
    except (pl.exceptions.PolarsError, pa.ArrowException, TypeError, OverflowError) as error:
        raise DataError(
            f"{file}: column {name!r} ({kind}) cannot be read ({clip(str(error), 160)}); write it as text, numbers or "
            "dates, or list it in data.options.ignore"
        ) from error


def column_or_nulls(frame: pl.DataFrame, name: str, dtype: Any) -> pl.Series:
    """The column of that name, or nulls of type `dtype` where the file has none."""
    return (
        frame[name] if name in frame.columns else pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height)
    )


def numbers(file: str, column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """A column as float64 and, where a text is no number, what stands there.

    Raises DataError, with the names of file and column, for types that are no numbers.
    """
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64), nothing_wrong(column)
    if column.dtype != pl.String:
        raise DataError(f"{file}: column {column.name!r} holds {column.dtype}; write numbers, or text of numbers")
    text = column.str.strip_chars()
    text = text.set(text == "", None)
    number = text.cast(pl.Float64, strict=False)
    wrong = (column.name + " is " + text).set(~(number.is_null() & text.is_not_null()), None)
    return number, wrong


def nothing_wrong(column: pl.Series) -> pl.Series:
    """A column of that length which says that no value is of the wrong type."""
    return pl.Series("wrong", [None], dtype=pl.String).new_from_index(0, len(column))
