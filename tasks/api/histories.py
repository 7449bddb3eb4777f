"""What users did before the endpoint: the events of the data that the model was trained on, and with them the event log."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.tables import CATALOGUE_FILE, HISTORIES_FILE, TEST_FILE, TRAIN_FILE, USERS_FILE, VALID_FILE


class Seen(NamedTuple):
    """An event of a user: milliseconds since 1970 (or a position in the sequence) and the item's id."""

    timestamp: int
    item_id: str


class UserHistories:
    """The whole sequence of every user of prepared data, targets included, by user id.

    Holds 12 bytes an event and the text of the ids; the rest stays in Arrow's memory.
    """

    def __init__(self, prepared: Path) -> None:
        """Reads the folder of a prepare artifact. Raises DataError for one that is not whole."""
        self._user_ids = USERS_FILE.read(prepared)["user_id"].combine_chunks()
        self._item_ids = CATALOGUE_FILE.read(prepared, ["item_id"])["item_id"].combine_chunks()
        users, items, times = _all_events(prepared)
        order = np.argsort(users, kind="stable")
        self._items, self._times = items[order], times[order]
        self._starts = np.searchsorted(users[order], np.arange(len(self._user_ids) + 1))
        ids = self._user_ids
        if len(ids) > 1 and not pa.compute.all(pa.compute.greater(ids[1:], ids[:-1])).as_py():
            raise DataError(f"{USERS_FILE.path(prepared)}: users are not in the order of their ids; prepare again")

    def __call__(self, user_id: str) -> list[Seen]:
        """A user's events, oldest first; [] for a user that the data does not have."""
        place = bisect.bisect_left(range(len(self._user_ids)), user_id, key=lambda i: self._user_ids[i].as_py())
        if place == len(self._user_ids) or self._user_ids[place].as_py() != user_id:
            return []
        rows = slice(self._starts[place], self._starts[place + 1])
        pairs = zip(self._times[rows].tolist(), self._items[rows].tolist(), strict=True)
        return [Seen(time, self._item_ids[item].as_py()) for time, item in pairs]


def _all_events(prepared: Path) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """User, item and time of every event, those of a user oldest first.

    histories.parquet ends before a user's last target; users without a target are in train.parquet alone.
    """
    histories = HISTORIES_FILE.read(prepared, ["user", "items", "timestamps"])
    with_targets = histories["user"].to_numpy()
    lengths = _lengths(histories)
    train = TRAIN_FILE.read(prepared, ["user", "items", "timestamps"])
    train = train.filter(~np.isin(train["user"].to_numpy(), with_targets))
    parts = [_flat(histories), _flat(train)]
    for file in (VALID_FILE, TEST_FILE):
        targets = file.read(prepared, ["user", "history_length", "target", "timestamp"])
        users, known, items, times = (column.to_numpy() for column in targets.columns)
        is_last = known >= lengths[np.searchsorted(with_targets, users)]
        parts.append((users[is_last], items[is_last], times[is_last]))
    users, items, times = (np.concatenate(column) for column in zip(*parts, strict=True))
    return users.astype(np.int32), items.astype(np.int32), times.astype(np.int64)


def _lengths(sequences: pa.Table) -> NDArray[np.int64]:
    return sequences["items"].combine_chunks().value_lengths().to_numpy().astype(np.int64)


def _flat(sequences: pa.Table) -> tuple[NDArray, NDArray, NDArray]:
    items, times = (sequences[name].combine_chunks().flatten().to_numpy() for name in ("items", "timestamps"))
    return np.repeat(sequences["user"].to_numpy(), _lengths(sequences)), items, times


def together(before: Sequence[Seen], logged: Sequence[Seen], dedupe: bool) -> list[str]:
    """Item ids of both, oldest first; an event of the log that the data has too (a retraining read it) counts once.

    dedupe: each item once, where it came first, as `prepare.dedupe` has it and the lists of a batch do.
    """
    known = set(before)
    merged = heapq.merge(before, [seen for seen in logged if seen not in known], key=lambda seen: seen.timestamp)
    ids = [seen.item_id for seen in merged]
    return list(dict.fromkeys(ids)) if dedupe else ids


def no_histories(user_id: str) -> list[Seen]:
    """Of an exported model, which comes without users."""
    return []


Histories = Callable[[str], Sequence[Seen]]
