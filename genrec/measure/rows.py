"""Rows to be predicted: who is asked, what was seen before, and which item came next.

Of a large data set they are those of a random sample of the users, the same one for every model, baseline and seed:
with 200 thousand users the standard error of a hit rate of .1 is .0007, and ten million would tell no more.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from genrec import tables
from genrec.data.targets import Numbering, Targets, read_targets

Split = Literal["valid", "test"]
SPLITS: tuple[Split, ...] = ("valid", "test")
SAMPLE_SEED = 0  # not the run's seed: runs that are compared are measured on the same users


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


def sampled(prepared: Path, split: Split, most: int) -> NDArray[np.int64]:
    """Places of the rows that are measured, in file order: all rows of at most `most` users (0: of all users).

    Where there are more users, they are drawn without replacement from those of the split.
    """
    users = _users(prepared, split)
    distinct = np.unique(users)
    if not most or len(distinct) <= most:
        return np.arange(len(users))
    drawn = np.random.default_rng(SAMPLE_SEED).choice(distinct, most, replace=False)
    return np.flatnonzero(np.isin(users, drawn))


def described_sample(prepared: Path, split: Split, most: int) -> dict[str, int] | None:
    """{users: drawn, of_users, of_rows: all that there are, seed} where the measured rows are a sample, else None."""
    users = _users(prepared, split)
    num_users = len(np.unique(users))
    if not most or num_users <= most:
        return None
    return {"users": most, "of_users": num_users, "of_rows": len(users), "seed": SAMPLE_SEED}


def _users(prepared: Path, split: Split) -> NDArray[np.int32]:
    return tables.read_table(prepared / f"{split}.parquet", columns=["user"])["user"].to_numpy()


def measured_rows(prepared: Path, protocol: Mapping[str, Any]) -> NDArray[np.int64]:
    """Places of the test rows behind the figures of a report, by its section `protocol`."""
    return sampled(prepared, "test", (protocol.get("sample") or {"users": 0})["users"])


def shards(prepared: Path, num_shards: int, split: Split = "test", most: int = 0) -> list[tuple[int, int]]:
    """Ranges (start, stop) of the rows of `sampled`, of nearly equal size; at most `num_shards`, none empty."""
    num_rows = len(sampled(prepared, split, most))
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
