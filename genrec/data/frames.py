"""Polars frames and streams of Arrow tables as tables of artifacts."""

from pathlib import Path
from types import TracebackType

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec.tables import TableFile, checked_table

GROUP_ROWS = 1 << 20
GROUP_BYTES = 256 << 20


class TableWriter:
    """Write a table of an artifact piece by piece, in row groups that depend on its rows alone; use it in a `with`.

    A row group ends after GROUP_ROWS rows, or with the row that fills GROUP_BYTES, however the rows arrived: the same rows
    give the same bytes. Memory: one row group. Columns are checked as `genrec.tables.write_table` does. passing: the table
    is read once and removed, and is compressed quickly.
    """

    def __init__(self, path: Path, schema: pa.Schema, *, passing: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.schema = path, schema
        self.num_rows = 0
        self._held: list[pa.Table] = []
        self._rows = self._bytes = 0
        self._writer = pq.ParquetWriter(path, schema, compression="lz4" if passing else "zstd")

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._held:
                self._write_group()
        finally:
            self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Add rows: the columns of the schema, castable without loss. Raises DataError where they do not match."""
        table = checked_table(table, self.path.name, self.schema)
        ends = np.cumsum(row_bytes(table))
        start = 0
        while start < table.num_rows:
            before = int(ends[start - 1]) if start else 0
            fits = int(np.searchsorted(ends, before + GROUP_BYTES - self._bytes)) + 1 - start
            number = min(fits, GROUP_ROWS - self._rows, table.num_rows - start)
            self._held.append(table.slice(start, number))
            start += number
            self._rows += number
            self._bytes += int(ends[start - 1]) - before
            if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
                self._write_group()
        self.num_rows += table.num_rows

    def write_frame(self, frame: pl.DataFrame) -> None:
        """Add the columns of the schema of a frame."""
        self.write(frame.select(self.schema.names).to_arrow())

    def _write_group(self) -> None:
        group = pa.concat_tables(self._held).combine_chunks()
        self._held, self._rows, self._bytes = [], 0, 0
        self._writer.write_table(group, row_group_size=group.num_rows)


def row_bytes(table: pa.Table) -> NDArray[np.int64]:
    """About how many bytes each row takes in memory, int64 [n], from its values alone."""
    sizes = np.zeros(table.num_rows, dtype=np.int64)
    for column in table.columns:
        if pa.types.is_list(column.type):
            lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
            sizes += lengths * (
                12 if pa.types.is_string(column.type.value_type) else column.type.value_type.bit_width // 8
            )
        elif pa.types.is_string(column.type):
            sizes += pc.binary_length(column).to_numpy(zero_copy_only=False)
        else:
            sizes += column.type.bit_width // 8
    return sizes


def write_frame_to(frame: pl.DataFrame, path: Path, schema: pa.Schema) -> None:
    """Write the columns of `schema` of a frame."""
    with TableWriter(path, schema) as writer:
        writer.write_frame(frame)


def write_frame(frame: pl.DataFrame, file: TableFile, folder: Path) -> None:
    """Write the columns of the file's schema into `folder`, which is created if missing."""
    assert file.schema is not None
    write_frame_to(frame, file.path(folder), file.schema)
