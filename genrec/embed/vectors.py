"""vectors.parquet: one vector an item, as the embed stage writes it and later stages read it.

Written and read in pieces of bounded size: of 10 million items with 2,048 dimensions it holds 82 GB (41 GB in float16).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.tables import check_there, vectors_schema

_GROUP_BYTES = 256 << 20  # of the vectors in a row group; a file below that has one
_BATCH_ROWS = 65_536


def rows_at_once(dim: int, dtype: np.dtype) -> int:
    """Vectors in one row group."""
    return max(1, _GROUP_BYTES // (dim * dtype.itemsize))


class VectorsWriter:
    """Writes vectors.parquet block by block; a context, which closes the file.

    Args:
        path: the file.
        dim: dimensions of a vector.
        dtype: float32 or float16; what the file holds.
    """

    def __init__(self, path: Path, dim: int, dtype: np.dtype) -> None:
        self.schema = vectors_schema(dim, pa.from_numpy_dtype(dtype))
        self.dtype, self.num_written = dtype, 0
        self._file = pq.ParquetWriter(path, self.schema, compression="zstd")

    def __enter__(self) -> VectorsWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, vectors: NDArray[np.floating]) -> None:
        """Append [n, dim]: the vectors of the next n items, as a row group of their own."""
        numbers = np.arange(self.num_written, self.num_written + len(vectors), dtype=np.int32)
        flat = np.ascontiguousarray(vectors, dtype=self.dtype).reshape(-1)  # copied only where it must be
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat), type=self.schema.field("vector").type)
        self._file.write_table(pa.Table.from_arrays([pa.array(numbers), column], schema=self.schema))
        self.num_written += len(vectors)


def write_item_vectors(vectors: NDArray[np.floating], path: Path, dtype: str = "float32") -> None:
    """Write [num_items, d] as an artifact of `vectors_schema`; `dtype` is what the file holds, float32 or float16."""
    number = np.dtype(dtype)
    step = rows_at_once(vectors.shape[1], number)
    with VectorsWriter(path, vectors.shape[1], number) as writer:
        for start in range(0, max(1, len(vectors)), step):
            writer.write(vectors[start : start + step])


def read_item_vectors(path: Path) -> NDArray[np.float32]:
    """float32 [num_items, d] of a vectors artifact, whichever number format it holds.

    Raises:
        DataError: the file is missing, has other columns, rows out of item order or vectors that are not finite.
    """
    num_items, dim, _ = _shape(path)
    vectors = np.empty((num_items, dim), dtype=np.float32)
    _read_into(vectors, path)
    return vectors


def map_item_vectors(path: Path, file: Path) -> NDArray[np.floating]:
    """The vectors of an artifact as an array mapped from `file` (.npy, written here), in the artifact's number format.

    Raises DataError as `read_item_vectors` does.
    """
    num_items, dim, dtype = _shape(path)
    vectors = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=(num_items, dim))
    _read_into(vectors, path)
    return vectors


def _shape(path: Path) -> tuple[int, int, np.dtype]:
    """(items, dimensions, number format)"""
    check_there(path)
    with pq.ParquetFile(path) as file:
        schema, num_items = file.schema_arrow, file.metadata.num_rows
    if schema.names != ["item", "vector"] or not pa.types.is_fixed_size_list(schema.field("vector").type):
        raise DataError(f"{path}: not a vectors file (columns {schema.names})")
    kind = schema.field("vector").type
    return num_items, kind.list_size, np.dtype(kind.value_type.to_pandas_dtype())


def _read_into(vectors: NDArray[np.floating], path: Path) -> None:
    bad: list[int] = []
    num_bad = start = 0
    for items, block in _blocks(path, vectors.shape[1]):
        stop = start + len(items)
        if not np.array_equal(items, np.arange(start, stop)):
            raise DataError(f"{path}: row i must hold item i; write it again with the embed stage")
        vectors[start:stop] = block
        finite = np.isfinite(block).all(axis=1)
        num_bad += int((~finite).sum())
        bad += (start + np.flatnonzero(~finite)[:1]).tolist()
        start = stop
    if bad:
        raise DataError(f"{path}: the vector of item {bad[0]} is not finite ({num_bad} such items)")


def _blocks(path: Path, dim: int) -> Iterator[tuple[NDArray[np.int32], NDArray[np.floating]]]:
    """(item numbers [n], vectors [n, dim]) of one batch of rows after the other."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(min(_BATCH_ROWS, max(1, (32 << 20) // (4 * dim)))):
            flat = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
            yield batch.column("item").to_numpy(), flat.reshape(batch.num_rows, dim)
