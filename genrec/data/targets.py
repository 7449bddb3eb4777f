"""The rows of valid.parquet and test.parquet with their histories.

A user's sequence is stored once, in histories.parquet, and a row says how many of its first events are the history: the
size is linear in the events, where a history a row would be quadratic.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.tables import HISTORIES_FILE, TARGETS, read_table


@dataclass(frozen=True)
class Targets:
    """Predictions to make, in file order."""

    users: NDArray[np.int32]  # [n]
    targets: NDArray[np.int32]  # [n]
    histories: list[NDArray[np.int32]]  # everything before the target, oldest first, not cut; read-only views

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Numbering:
    """Other numbers for the items: those of another catalogue."""

    number: NDArray[np.int32]  # [num_items], -1 for an item without one
    unknown: int  # what a target without a number becomes


def read_targets(
    path: Path, rows: slice | NDArray[np.integer] = slice(None), numbering: Numbering | None = None
) -> Targets:
    """The rows of a TARGETS file (all, a range or the numbered ones), with histories.parquet beside it.

    With `numbering`, items without a number leave the histories. A user's sequence is in memory once, however many rows
    point into it. Raises DataError when the two files do not belong together.
    """
    table = read_table(path, TARGETS, columns=["user", "history_length", "target"])
    users, lengths, targets = (column.to_numpy()[rows] for column in table.columns)
    sequences = HISTORIES_FILE.read(path.parent, ["user", "items"])
    column = sequences["items"].combine_chunks()
    items = column.flatten().to_numpy()
    starts = np.concatenate([[0], np.cumsum(column.value_lengths().to_numpy().astype(np.int64))])
    places = _places(path, sequences["user"].to_numpy(), np.diff(starts), users, lengths)
    first, end = starts[places], starts[places] + lengths
    if numbering is not None:
        items, targets = numbering.number[items], numbering.number[targets]
        num_known = np.concatenate([[0], np.cumsum(items >= 0)])  # before each event
        items, first, end = items[items >= 0], num_known[first], num_known[end]
        targets = np.where(targets < 0, numbering.unknown, targets).astype(np.int32)
    histories = [items[start:stop] for start, stop in zip(first.tolist(), end.tolist(), strict=True)]
    return Targets(users, targets, histories)


def _places(
    path: Path,
    owners: NDArray[np.int32],
    num_events: NDArray[np.int64],
    users: NDArray[np.int32],
    lengths: NDArray[np.int32],
) -> NDArray[np.int64]:
    """The row of histories.parquet behind every target row, checked to be that user's and long enough."""
    places = np.searchsorted(owners, users)
    inside = places < len(owners)
    there = places[inside]
    if not inside.all() or (owners[there] != users).any() or (num_events[there] < lengths).any():
        raise DataError(
            f"{path}: points to events that {HISTORIES_FILE.name} beside it does not hold; the two files belong to "
            "different runs: compute prepare again"
        )
    return places
