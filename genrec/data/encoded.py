"""Interactions as columns of numbers on disk: the events that pass the filters, users and items by number.

interactions.parquet is sorted by user and time, so that it is read once, in pieces of bounded size. Held in memory are the
counts of every user and item, the item ids, and the items that the user at the end of a piece had so far.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec.config import PrepareConfig
from genrec.data.columns_on_disk import CHUNK_ROWS, ColumnsOnDisk, add_counts
from genrec.errors import DataError

_EVENT = {"user": np.int32, "item": np.int32, "timestamp": np.int64, "event": np.uint32}
_COLUMNS = ["user_id", "item_id", "timestamp", "event"]
_USER_IDS = pa.schema([("user_id", pa.string())])


class _Codes:
    """A number for each text, counted from 0 by first appearance, over any number of columns."""

    def __init__(self) -> None:
        self._dtype = pl.Categorical(pl.Categories.random())
        self._alive = pl.Series([], dtype=self._dtype)  # Polars forgets categories that no column has
        self._number = 0

    def of(self, texts: pl.Series) -> NDArray[np.uint32]:
        codes = texts.cast(self._dtype).to_physical().to_numpy()
        self._number = max(self._number, int(codes.max()) + 1)
        return codes

    def texts(self) -> pl.Series:
        """The texts by their number."""
        return pl.int_range(self._number, dtype=pl.UInt32, eager=True).cat.to(self._dtype).cast(pl.String)


class Encoded:
    """Reads the events of an interactions file, in its order, into `folder`.

    events: columns user (int32, in the order of the ids), item (int32, place in `item_ids`), timestamp, event (place in
    `event_names`). times: those of all rows, before any filter, where the split is global_time. dropped: rows by filter, in the order of the filters.
    user_counts, item_counts: events of each, int64. Raises DataError for a type of event that no row has, and for rows that
    are not sorted by user.
    """

    def __init__(self, interactions: Path, config: PrepareConfig, folder: Path) -> None:
        self.dropped: dict[str, int] = {}
        self.events = ColumnsOnDisk(folder / "events", _EVENT)
        self.times = ColumnsOnDisk(folder / "times", {"timestamp": np.int64})
        self._user_file = folder / "user_ids.parquet"
        self._items, self._events = _Codes(), _Codes()
        self._users: list[NDArray[np.int64]] = []
        self._num_users = 0
        self._last_id: str | None = None
        self._had = np.zeros(0, dtype=np.int32)  # items of the last user so far, sorted
        self.item_counts = np.zeros(0, dtype=np.int64)
        present: set[str] = set()
        with self.events, self.times, pq.ParquetWriter(self._user_file, _USER_IDS) as users:
            file = pq.ParquetFile(interactions)
            columns = _COLUMNS if config.min_rating is None else [*_COLUMNS, "rating"]
            for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=columns):
                rows = pl.DataFrame(pl.from_arrow(batch))
                present.update(rows["event"].unique())
                if config.split == "global_time":
                    self.times.append(timestamp=rows["timestamp"].to_numpy())
                self._add(self._filtered(rows, config), config.dedupe == "user_item" and config.split != "given", users)
        _check_events(config, present)
        self.user_counts = np.concatenate([np.zeros(0, dtype=np.int64), *self._users])

    @property
    def num_users(self) -> int:
        return len(self.user_counts)

    def item_ids(self) -> pl.Series:
        """The ids of the items by their number."""
        return self._items.texts()

    def event_names(self) -> pl.Series:
        """The types of events by their number."""
        return self._events.texts()

    def user_ids(self) -> Iterator[pl.Series]:
        """The ids of the users by their number, in pieces."""
        for batch in pq.ParquetFile(self._user_file).iter_batches(batch_size=CHUNK_ROWS):
            yield pl.DataFrame(pl.from_arrow(batch))["user_id"]

    def _filtered(self, rows: pl.DataFrame, config: PrepareConfig) -> pl.DataFrame:
        if config.events is not None:
            rows = self._keep(rows, "event", pl.col("event").is_in(config.events))
        if config.min_rating is not None:
            rows = self._keep(rows, "rating", pl.col("rating").is_null() | (pl.col("rating") >= config.min_rating))
        return rows

    def _keep(self, rows: pl.DataFrame, name: str, condition: pl.Expr) -> pl.DataFrame:
        kept = rows.filter(condition)
        self.dropped[name] = self.dropped.get(name, 0) + rows.height - kept.height
        return kept

    def _add(self, rows: pl.DataFrame, first_only: bool, users: pq.ParquetWriter) -> None:
        if first_only:
            self.dropped.setdefault("repeat", 0)
        if not rows.height:
            return
        ids = rows["user_id"]
        is_new = (ids != ids.shift()).fill_null(self._last_id is None or ids[0] != self._last_id)
        new_ids = ids.filter(is_new)
        _check_ascending(new_ids, self._last_id)
        user = self._num_users - 1 + np.cumsum(is_new.to_numpy())
        item = self._items.of(rows["item_id"]).astype(np.int32)
        event = self._events.of(rows["event"])
        users.write_table(pa.table({"user_id": new_ids.to_arrow()}).cast(_USER_IDS))
        stays = self._is_first(user, item) if first_only else np.ones(len(user), dtype=bool)
        if first_only:
            self.dropped["repeat"] += int((~stays).sum())
        self.events.append(
            user=user[stays], item=item[stays], timestamp=rows["timestamp"].to_numpy()[stays], event=event[stays]
        )
        self._count(user[stays], item, stays)
        self._last_id = ids[-1]

    def _is_first(self, user: NDArray[np.int64], item: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether an event is the first of its user with its item."""
        pair = pl.Series((user << 32) | item)
        first = pair.is_first_distinct().to_numpy().copy()
        if self._num_users:
            number = int(np.searchsorted(user, self._num_users))  # rows of the user that the piece before ended with
            first[:number] &= ~np.isin(item[:number], self._had)
        of_last = item[np.searchsorted(user, user[-1]) :]
        self._had = np.union1d(self._had, of_last) if user[-1] == self._num_users - 1 else np.unique(of_last)
        return first

    def _count(self, user: NDArray[np.int64], item: NDArray[np.int32], stays: NDArray[np.bool_]) -> None:
        """user: of the rows that stay; item: of all rows, so that each item has a count."""
        counts = np.bincount(user - max(0, self._num_users - 1))
        if self._num_users:  # the first count is of the user that the piece before ended with
            self._users[-1][-1] += counts[0] if len(counts) else 0
            counts = counts[1:]
        if len(counts):
            self._users.append(counts)
        self._num_users += len(counts)
        grown = max(len(self.item_counts), int(item.max()) + 1)
        self.item_counts = np.concatenate([self.item_counts, np.zeros(grown - len(self.item_counts), dtype=np.int64)])
        add_counts(self.item_counts, item[stays])


def _check_ascending(new_ids: pl.Series, last_id: str | None) -> None:
    """Whether the ids of the users that begin in a piece, and the id before them, ascend."""
    if (new_ids <= new_ids.shift()).any() or (last_id is not None and len(new_ids) and new_ids[0] <= last_id):
        raise DataError("interactions.parquet is not sorted by user; another version wrote it: compute ingest again")


def _check_events(config: PrepareConfig, present: set[str]) -> None:
    unknown = sorted(set(config.events or ()) - present)
    if unknown:
        raise DataError(f"prepare.events: no event is a {unknown[0]!r}; the data has {', '.join(sorted(present))}")
