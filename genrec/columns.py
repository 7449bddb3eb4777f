"""Columns of artifacts as numpy arrays."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.schemas import read_table


def ragged(column: pa.ChunkedArray) -> list[NDArray[np.int32]]:
    """A list<int32> column as numpy arrays, one a row."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # a column without chunks
        return []
    return np.split(array.flatten().to_numpy(), np.cumsum(array.value_lengths().to_numpy())[:-1]) if len(array) else []


def read_sids(path: Path) -> NDArray[np.int32]:
    """Final semantic ids int32 [N, L] of a sid artifact (its folder, or sids.parquet itself); row i is item i.

    Raises DataError when the file is missing or its rows are out of order.
    """
    path = path / "sids.parquet" if path.is_dir() else path
    table = read_table(path, columns=["item", "sid"])
    if not np.array_equal(table["item"].to_numpy(), np.arange(table.num_rows)):
        raise DataError(f"{path}: row i must be item i; recompute the sid stage")
    column = table["sid"].combine_chunks()
    return column.flatten().to_numpy().reshape(table.num_rows, -1)
