"""Rows to be predicted: who is asked, what was seen before, and which item came next."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from genrec import tables
from genrec.tables import ragged

Split = Literal["valid", "test"]


@dataclass(frozen=True)
class TargetRows:
    """Rows in file order: users and targets int32 [n], histories (oldest first, not cut)."""

    users: NDArray[np.int32]
    targets: NDArray[np.int32]
    histories: list[NDArray[np.int32]]

    def __len__(self) -> int:
        return len(self.users)


def read_rows(prepared: Path, split: Split, places: slice | NDArray[np.integer] = slice(None)) -> TargetRows:
    """The rows of valid.parquet or test.parquet, or those at `places`."""
    table = tables.read_table(prepared / f"{split}.parquet", columns=["user", "history", "target"])
    if isinstance(places, slice):
        start, stop, _ = places.indices(len(table))
        table = table.slice(start, max(0, stop - start))
    else:
        table = table.take(places)
    return TargetRows(table["user"].to_numpy(), table["target"].to_numpy(), ragged(table["history"]))


def shards(prepared: Path, num_shards: int, split: Split = "test") -> list[tuple[int, int]]:
    """Ranges of rows, (start, stop), of nearly equal size; at most `num_shards`, none empty."""
    num_rows = len(tables.read_table(prepared / f"{split}.parquet", columns=["user"]))
    if not num_rows:
        return []
    edges = np.linspace(0, num_rows, min(num_shards, num_rows) + 1).round().astype(int).tolist()
    return list(itertools.pairwise(edges))


def in_numbers_of(rows: TargetRows, prepared: Path, other: Path) -> TargetRows:
    """`rows` of `prepared` in the item numbers of another prepared data set's catalogue.

    Items unknown there leave the histories; an unknown target becomes the number behind the last item, which no list
    holds.
    """
    ids, known = (
        tables.read_table(folder / "catalogue.parquet", columns=["item_id"])["item_id"].combine_chunks()
        for folder in (prepared, other)
    )
    number = pc.fill_null(pc.index_in(ids, value_set=known), -1).to_numpy(zero_copy_only=False).astype(np.int32)
    histories = [items[items >= 0] for items in (number[history] for history in rows.histories)]
    targets = number[rows.targets]
    return TargetRows(rows.users, np.where(targets < 0, len(known), targets).astype(np.int32), histories)
