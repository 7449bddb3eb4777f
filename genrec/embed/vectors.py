"""vectors.parquet: one vector an item, as the embed stage writes it and later stages read it."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from genrec.errors import DataError
from genrec.tables import read_table, vectors_schema, write_table


def write_item_vectors(vectors: np.ndarray, path: Path) -> None:
    """Write float32 [num_items, d] as an artifact of `vectors_schema`."""
    dim = vectors.shape[1]
    flat = np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1)  # gigabytes: copied only where they must be
    table = pa.table(
        {
            "item": pa.array(np.arange(len(vectors), dtype=np.int32)),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(flat), dim),
        }
    )
    write_table(table, path, vectors_schema(dim))


def read_item_vectors(path: Path) -> np.ndarray:
    """float32 [num_items, d] of a vectors artifact.

    Raises:
        DataError: the file is missing, has other columns, rows out of item order or vectors that are not finite.
    """
    table = read_table(path).combine_chunks()
    if table.column_names != ["item", "vector"] or not pa.types.is_fixed_size_list(table.schema.field("vector").type):
        raise DataError(f"{path}: not a vectors file (columns {table.column_names})")
    if not np.array_equal(table["item"].to_numpy(), np.arange(table.num_rows)):
        raise DataError(f"{path}: row i must hold item i; write it again with the embed stage")
    dim = table.schema.field("vector").type.list_size
    flat = table["vector"].combine_chunks().flatten()
    vectors = np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.float32).reshape(table.num_rows, dim)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        bad = int(np.flatnonzero(~finite)[0])
        raise DataError(f"{path}: the vector of item {bad} is not finite ({int((~finite).sum())} such items)")
    return vectors
