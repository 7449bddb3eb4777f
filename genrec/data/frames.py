"""Polars frames as tables of artifacts."""

from pathlib import Path

import polars as pl
import pyarrow as pa

from genrec.tables import TableFile, write_table

_SLICE_ROWS = 1 << 20  # a text column of one chunk may hold 2 GB at most


def write_frame(frame: pl.DataFrame, file: TableFile, folder: Path) -> None:
    """Write the columns of the file's schema into `folder`, which is created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_frame_to(frame, file.path(folder), file.schema)


def write_frame_to(frame: pl.DataFrame, path: Path, schema: pa.Schema) -> None:
    """Write the columns of `schema`; categories become text."""
    text = pl.selectors.categorical().cast(pl.String)
    slices = frame.select(schema.names).with_columns(text).iter_slices(_SLICE_ROWS)
    chunks = [part.to_arrow().cast(schema) for part in slices]
    write_table(pa.concat_tables(chunks) if chunks else schema.empty_table(), path, schema)
