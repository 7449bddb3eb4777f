"""Side information: what the catalogue says of its items."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.tables import numbered


@dataclass(frozen=True)
class Side:
    """Brands and categories of N items as numbers from 0; -1: the catalogue names none."""

    brand: NDArray[np.int64]  # [N]
    leaf: NDArray[np.int64]  # [N], the last, most specific category
    categories: sp.csr_array  # float32 [N, number of categories], 1 where the item has it
    depth: NDArray[np.int64]  # [N], categories of the item


def side_of(catalogue: pa.Table) -> Side:
    """From the columns brand and categories (general to specific) of a catalogue; row i is item i."""
    names = catalogue["brand"].combine_chunks()
    brand, _ = numbered(names)
    known = np.array([bool(name.strip()) for name in names.to_pylist()], dtype=bool)
    column = catalogue["categories"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # a catalogue without rows
        column = pa.array([], pa.list_(pa.string()))
    depth = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    category, labels = numbered(column.flatten())
    ends = np.cumsum(depth)
    leaf = np.full(len(depth), -1, dtype=np.int64)
    leaf[depth > 0] = category[ends[depth > 0] - 1]
    rows = np.repeat(np.arange(len(depth)), depth)
    has = sp.csr_array((np.ones(len(rows), np.float32), (rows, category)), shape=(len(depth), len(labels)))
    has.sum_duplicates()
    has.data[:] = 1
    return Side(np.where(known, brand, -1).astype(np.int64), leaf, has, depth)
