"""Rows to be predicted: who is asked, what was seen before, and which item came next."""

import itertools
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from genrec import tables
from genrec.data.targets import Numbering, Targets, read_targets

Split = Literal["valid", "test"]
SPLITS: tuple[Split, ...] = ("valid", "test")


def read_rows(
    prepared: Path,
    split: Split,
    places: slice | NDArray[np.integer] = slice(None),
    trained_on: Path | None = None,
) -> Targets:
    """The rows of valid.parquet or test.parquet, or those at `places`.

    With `trained_on`, in the item numbers of that prepared data set's catalogue: items unknown there leave the histories;
    an unknown target becomes the number behind the last item, which no list holds.
    """
    numbering = None if trained_on is None else _numbering(prepared, trained_on)
    return read_targets(prepared / f"{split}.parquet", places, numbering)


def shards(prepared: Path, num_shards: int, split: Split = "test") -> list[tuple[int, int]]:
    """Ranges of rows, (start, stop), of nearly equal size; at most `num_shards`, none empty."""
    num_rows = len(tables.read_table(prepared / f"{split}.parquet", columns=["user"]))
    if not num_rows:
        return []
    edges = np.linspace(0, num_rows, min(num_shards, num_rows) + 1).round().astype(int).tolist()
    return list(itertools.pairwise(edges))


def _numbering(prepared: Path, other: Path) -> Numbering:
    ids, known = (
        tables.CATALOGUE_FILE.read(folder, ["item_id"])["item_id"].combine_chunks() for folder in (prepared, other)
    )
    number = pc.fill_null(pc.index_in(ids, value_set=known), -1).to_numpy(zero_copy_only=False)
    return Numbering(number.astype(np.int32), unknown=len(known))
