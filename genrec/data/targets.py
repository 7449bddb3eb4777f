"""The rows of valid.parquet and test.parquet with their histories.

A user's sequence is stored once, in histories.parquet, and a row says how many of its first events are the history: the
size is linear in the events, where a history a row would be quadratic.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.tables import HISTORIES_FILE, TARGETS, ragged, read_table, write_table


@dataclass(frozen=True)
class Targets:
    """Predictions to make, in file order."""

    users: NDArray[np.int32]  # [n]
    targets: NDArray[np.int32]  # [n]
    histories: list[NDArray[np.int32]]  # everything before the target, oldest first, not cut; read-only views

    def __len__(self) -> int:
        return len(self.users)


def read_targets(path: Path, rows: slice | NDArray[np.integer] = slice(None)) -> Targets:
    """The rows of a TARGETS file (all, a range or the numbered ones), with histories.parquet beside it.

    A user's sequence is in memory once, however many rows point into it. Raises DataError when the two files do not
    belong together.
    """
    table = read_table(path, TARGETS, columns=["user", "history_length", "target"])
    users, lengths, targets = (column.to_numpy()[rows] for column in table.columns)
    sequences = HISTORIES_FILE.read(path.parent, ["user", "items"])
    items = ragged(sequences["items"])
    places = _places(path, sequences["user"].to_numpy(), np.array([len(s) for s in items], np.int64), users, lengths)
    histories = [items[place][:length] for place, length in zip(places.tolist(), lengths.tolist(), strict=True)]
    return Targets(users, targets, histories)


def renumber(path: Path, number: NDArray[np.int32], unknown: int, out: Path) -> dict[str, int]:
    """Write a TARGETS file and the histories beside it into the folder `out` with other item numbers.

    number: [num_items], -1 for items without one. Those leave the histories; as a target they become `unknown`.
    Returns {rows, unknown_targets, unknown_in_histories}: the last counts an event in every history that holds it.
    """
    table = read_table(path, TARGETS)
    sequences = HISTORIES_FILE.read(path.parent)
    lists = {name: sequences[name].combine_chunks() for name in ("items", "events", "timestamps")}
    num_events = lists["items"].value_lengths().to_numpy().astype(np.int64)
    items = number[lists["items"].flatten().to_numpy()]
    known = items >= 0
    num_known = np.concatenate([[0], np.cumsum(known)])  # before each event
    edges = np.concatenate([[0], np.cumsum(num_events)])  # of the users' sequences
    flat = {name: column.flatten().filter(pa.array(known)) for name, column in lists.items()}
    flat["items"] = pa.array(items[known])
    offsets = pa.array(num_known[edges].astype(np.int32))
    lists = {name: pa.ListArray.from_arrays(offsets, values) for name, values in flat.items()}

    users, lengths, targets = (table[name].to_numpy() for name in ("user", "history_length", "target"))
    starts = edges[_places(path, sequences["user"].to_numpy(), num_events, users, lengths)]
    new_lengths = num_known[starts + lengths] - num_known[starts]
    targets = number[targets]
    columns = {
        "history_length": pa.array(new_lengths.astype(np.int32)),
        "target": pa.array(np.where(targets < 0, unknown, targets).astype(np.int32)),
    }
    out.mkdir(parents=True, exist_ok=True)
    HISTORIES_FILE.write(pa.table({"user": sequences["user"], **lists}), out)
    kept = {name: table[name] for name in table.column_names if name not in columns}
    write_table(pa.table({**kept, **columns}), out / path.name, TARGETS)
    return {
        "rows": len(table),
        "unknown_targets": int((targets < 0).sum()),
        "unknown_in_histories": int((lengths - new_lengths).sum()),
    }


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
