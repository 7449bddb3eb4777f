"""Vectors computed elsewhere: a Parquet file with item_id and vector takes the place of an encoder."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genrec.errors import DataError
from genrec.variants import setting


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of ready-made vectors."""

    path: str = setting(
        "",
        "Parquet file with the columns item_id (string) and vector (list of floats, all of one length).",
        is_path=True,
    )


def vectors_of_items(item_ids: pa.ChunkedArray, options: Config) -> tuple[np.ndarray, int]:
    """Vectors of the catalogue's items, in its order.

    Args:
        item_ids: strings, distinct; row i is item i.
        options: settings.

    Returns:
        float32 [num_items, d], and how many rows of the file belong to no item of the catalogue (they are left out: a
        catalogue holds the items with enough events).

    Raises:
        DataError: the file is missing or no Parquet, lacks a column, holds an item twice, vectors of unequal length or
            values that are not finite, or has no vector for an item of the catalogue.
    """
    path = Path(options.path)
    table = _read(path)
    wanted = pc.is_in(table["item_id"], value_set=item_ids.combine_chunks())
    num_extra = table.num_rows - int(pc.sum(wanted).as_py() or 0)
    table = table.filter(wanted)
    ids = table["item_id"].combine_chunks()
    if len(pc.unique(ids)) < len(ids):
        counts = ids.value_counts()
        twice = counts.field(0)[int(np.argmax(counts.field(1).to_numpy()))].as_py()
        raise DataError(f"{path}: item_id {twice!r} is in more than one row; keep one vector an item")
    place = pc.index_in(item_ids, value_set=ids)
    if place.null_count:
        missing = item_ids.filter(pc.is_null(place)).slice(0, 3).to_pylist()
        raise DataError(
            f"{path}: no vector for {place.null_count} of the catalogue's {len(item_ids)} items, such as "
            f"{', '.join(missing)}; add them, or choose another embed.method"
        )
    return _matrix(table.take(place), path), num_extra


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataError(f"embed.options.path: {str(path)!r} is no file; give a Parquet file with item_id and vector")
    try:
        schema = pq.read_schema(path)
        missing = [name for name in ("item_id", "vector") if name not in schema.names]
        if missing:
            raise DataError(f"{path}: no column {missing[0]!r}; it has {schema.names}")
        table = pq.read_table(path, columns=["item_id", "vector"])
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({' '.join(str(error).split())[:200]})") from error
    kind = table.schema.field("vector").type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_floating(kind.value_type):
        raise DataError(f"{path}: column vector is {kind}; a list of floats is needed")
    return table.set_column(0, "item_id", pc.cast(table["item_id"], pa.string()))


def _matrix(table: pa.Table, path: Path) -> np.ndarray:
    ids, column = table["item_id"], table["vector"]
    if column.null_count:
        raise DataError(f"{path}: item {_first(ids, pc.is_null(column))!r} has a null vector")
    lengths = pc.list_value_length(column)
    dim = lengths[0].as_py()
    unequal = pc.not_equal(lengths, dim)
    if pc.any(unequal).as_py() or not dim:
        place = _first(ids, unequal) if dim else ids[0].as_py()
        raise DataError(
            f"{path}: the vector of item {place!r} has not {dim or 'one or more'} values as the others have"
        )
    flat = pc.list_flatten(column)
    values = pc.cast(flat, pa.float32()).to_numpy().reshape(table.num_rows, dim)
    finite = np.isfinite(values).all(axis=1)
    if flat.null_count or not finite.all():
        place = _first(ids, pa.array(~finite))
        raise DataError(
            f"{path}: the vector of item {place!r} is not finite ({int((~finite).sum())} such items); correct or remove them"
        )
    return np.ascontiguousarray(values)


def _first(ids: pa.ChunkedArray, mask: pa.ChunkedArray | pa.Array) -> str:
    return ids.filter(mask)[0].as_py()
