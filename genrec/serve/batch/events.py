"""The events of a shard's users, read from interactions.parquet without the others."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec.config import PrepareConfig, RecommendConfig
from genrec.serve.batch.filters import DAY_MS
from genrec.serve.batch.plan import USERS_FILE, Plan
from genrec.tables import INTERACTIONS, INTERACTIONS_FILE


class Events(NamedTuple):
    """Events of U users, E rows by user, oldest first within one. An event may be in the history, a recent purchase, both or
    neither."""

    users: pa.Array  # string[U], sorted
    is_known: NDArray[np.bool_]  # bool[U], whether the data has an event of the user
    owner: NDArray[np.int64]  # int64[E], place in `users`
    item: NDArray[np.int64]  # int64[E], number in the model's catalogue, -1 for an item that it does not know
    in_history: NDArray[np.bool_]  # bool[E], passes the filters of prepare
    is_bought: NDArray[np.bool_]  # bool[E], a purchase of the last not_bought_days


def read_events(
    ingest: Path,
    work: Path,
    plan: Plan,
    shard: int,
    item_ids: pa.Array,
    prepare: PrepareConfig,
    config: RecommendConfig,
) -> Events:
    """The events of the users of a shard. Items are numbered by their place in `item_ids`, those of the model's catalogue.

    The filters of prepare are those by event type and rating; repeats are left to whoever reads the history. Its k-core
    is not applied: a model reads histories, not users, and knows items or does not.
    """
    file = pq.ParquetFile(INTERACTIONS_FILE.path(ingest))
    if plan.chosen:
        users = pq.ParquetFile(work / USERS_FILE).read_row_group(shard)["user_id"].combine_chunks()
        table = pa.concat_tables([INTERACTIONS.empty_table(), *_rows_of(file, users)])
    else:
        table = pa.concat_tables([INTERACTIONS.empty_table(), *_rows_between(file, *plan.shards[shard])])
        users = table["user_id"].combine_chunks().unique()
    owner = _numbers(table["user_id"], users)
    timestamp = table["timestamp"].to_numpy()
    latest = np.full(len(users), np.iinfo(np.int64).min)
    np.maximum.at(latest, owner, timestamp)
    is_bought = np.zeros(len(owner), dtype=bool)
    if config.not_bought_days is not None:
        recent = timestamp >= plan.newest_ms - config.not_bought_days * DAY_MS
        is_bought = recent & _mask(pc.is_in(table["event"], value_set=pa.array(config.bought_events, pa.string())))
    found = Events(
        users,
        latest > np.iinfo(np.int64).min,
        owner,
        _numbers(table["item_id"], item_ids),
        _kept(table, prepare),
        is_bought,
    )
    if config.active_days is None:
        return found
    return _only(found, latest >= plan.newest_ms - config.active_days * DAY_MS)


def _rows_between(file: pq.ParquetFile, start: int, stop: int) -> Iterator[pa.Table]:
    """Rows [start, stop) of a file, a row group at a time."""
    first = 0
    for group in range(file.metadata.num_row_groups):
        end = first + file.metadata.row_group(group).num_rows
        if first < stop and start < end:
            low, high = max(start, first) - first, min(stop, end) - first
            # Copied: a slice would keep the whole row group in memory.
            yield file.read_row_group(group).take(pa.array(np.arange(low, high)))
        first = end


def _rows_of(file: pq.ParquetFile, users: pa.Array) -> Iterator[pa.Table]:
    """The rows of these users, sorted, from the row groups that may hold one."""
    names = users.to_pylist()
    column = file.schema_arrow.names.index("user_id")
    for group in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(group).column(column).statistics
        bounded = statistics is not None and statistics.has_min_max
        if bounded and bisect_left(names, statistics.min) == bisect_right(names, statistics.max):
            continue
        wanted = pc.is_in(file.read_row_group(group, columns=["user_id"])["user_id"], value_set=users)
        if pc.any(wanted).as_py():
            yield file.read_row_group(group).filter(wanted)


def _kept(table: pa.Table, prepare: PrepareConfig) -> NDArray[np.bool_]:
    """Which rows pass prepare's filters of event types and ratings."""
    kept = np.ones(len(table), dtype=bool)
    if prepare.events is not None:
        kept &= _mask(pc.is_in(table["event"], value_set=pa.array(prepare.events, pa.string())))
    if prepare.min_rating is not None:
        kept &= _mask(pc.fill_null(pc.greater_equal(table["rating"], prepare.min_rating), True))
    return kept


def _only(events: Events, keep: NDArray[np.bool_]) -> Events:
    """The users to be kept, bool[U], and their events."""
    rows = keep[events.owner]
    number = np.cumsum(keep) - 1
    return Events(
        events.users.filter(pa.array(keep)),
        events.is_known[keep],
        number[events.owner[rows]],
        events.item[rows],
        events.in_history[rows],
        events.is_bought[rows],
    )


def _numbers(values: pa.ChunkedArray, known: pa.Array) -> NDArray[np.int64]:
    """The place of each value among the known ones, int64; -1 for one that is not there."""
    places = pc.fill_null(pc.index_in(values, value_set=known), -1)
    return places.to_numpy().astype(np.int64)


def _mask(values: pa.ChunkedArray) -> NDArray[np.bool_]:
    return values.to_numpy().astype(bool)
