"""Prepare with all events in memory, the plain way: what the one on disk must equal."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from genrec.config import PrepareConfig
from genrec.data.frames import write_frame, write_frame_to
from genrec.data.index import EVENTS, EVENTS_FILE, GIVEN_EVENT, k_core_on
from genrec.data.quarantine import POSITION_LIMIT
from genrec.data.split import HISTORY, TEST, TRAIN, VALID, given_parts
from genrec.errors import DataError
from genrec.tables import (
    CATALOGUE_FILE,
    HISTORIES,
    HISTORIES_FILE,
    INTERACTIONS_FILE,
    ITEMS_FILE,
    SEQUENCES,
    TARGETS,
    TEST_FILE,
    TRAIN_FILE,
    USERS_FILE,
    VALID_FILE,
    write_table,
)


def prepare(ingest: Path, config: PrepareConfig, out: Path) -> dict[str, Any]:
    """The summary of the index, and all tables of the artifact in `out`."""
    summary = index(ingest, config, out)
    users, events = USERS_FILE.read(out), pl.read_parquet(EVENTS_FILE.path(out))
    targets = _targets(events)
    write_table(_sequences(events.filter(pl.col("part") == TRAIN), SEQUENCES, users), TRAIN_FILE.path(out), SEQUENCES)
    write_table(_sequences(_before_last_target(events, targets), HISTORIES), HISTORIES_FILE.path(out), HISTORIES)
    for file, part in ((VALID_FILE, VALID), (TEST_FILE, TEST)):
        write_frame_to(targets.filter(pl.col("part") == part), file.path(out), TARGETS)
    return summary


def index(ingest: Path, config: PrepareConfig, out: Path) -> dict[str, Any]:
    """Filter, de-duplicate, take the k-core, number users and items (0.. in the order of their ids) and split.

    Writes events.parquet, users.parquet, catalogue.parquet and index.json to `out`, and returns the summary: users,
    items, interactions, dropped (rows by filter), density, mean_events (a user), split, k_core_on, cold_items,
    history_events (see `_training_core`).
    """
    out.mkdir(parents=True, exist_ok=True)
    interactions = INTERACTIONS_FILE.path(ingest)
    events, dropped = _filtered(interactions, config)
    on = k_core_on(config)
    if on == "none":
        given = given_parts(events["event"])
        events = _number(events.with_columns(given, pl.lit(GIVEN_EVENT).alias("event")))
    elif on == "all":
        events = _number(_core(events, config, dropped))
        events = events.with_columns(pl.Series("part", _split(events, config, events["timestamp"])))
    else:
        # The periods are those of all events: filters and k-core change what is in them, not when they begin.
        times = pl.read_parquet(interactions, columns=["timestamp"], glob=False)["timestamp"]
        events = _number(events)
        events = events.with_columns(pl.Series("part", _split(events, config, times)))
        events = _number(_training_core(events, config, dropped), first=pl.col("in_core")).drop("in_core")
    users = events.select("user", "user_id").unique(maintain_order=True)
    catalogue = _catalogue(events, ITEMS_FILE.path(ingest))
    write_frame(events, EVENTS_FILE, out)
    write_frame(users, USERS_FILE, out)
    write_frame(catalogue, CATALOGUE_FILE, out)
    summary = {
        "users": users.height,
        "items": catalogue.height,
        "interactions": events.height,
        "dropped": dropped,
        "density": events.height / (users.height * catalogue.height),
        "mean_events": events.height / users.height,
        "split": config.split,
        "k_core_on": on,
        "cold_items": int((catalogue["train_count"] == 0).sum()),
        "history_events": int((events["part"] == HISTORY).sum()),
    }
    (out / "index.json").write_text(json.dumps(summary, sort_keys=True))
    return summary


def _filtered(path: Path, config: PrepareConfig) -> tuple[pl.DataFrame, dict[str, int]]:
    """The events that pass the filters, in file order, and how many each filter dropped."""
    events = pl.read_parquet(path, glob=False)
    dropped = {}
    if config.events is not None:
        unknown = sorted(set(config.events) - set(events["event"].unique()))
        if unknown:
            there = ", ".join(sorted(events["event"].unique()))
            raise DataError(f"prepare.events: no event is a {unknown[0]!r}; the data has {there}")
        dropped["event"], events = _keep(events, pl.col("event").is_in(config.events))
    if config.min_rating is not None:
        dropped["rating"], events = _keep(events, pl.col("rating").is_null() | (pl.col("rating") >= config.min_rating))
    if config.dedupe == "user_item" and config.split != "given":
        dropped["repeat"], events = _keep(events, pl.struct("user_id", "item_id").is_first_distinct())
    return events, dropped


def _keep(events: pl.DataFrame, condition: pl.Expr | pl.Series) -> tuple[int, pl.DataFrame]:
    kept = events.filter(condition)
    return events.height - kept.height, kept


def _core(events: pl.DataFrame, config: PrepareConfig, dropped: dict[str, int], which: str = "") -> pl.DataFrame:
    """The k-core of `events`, in their order; `which` events they are, for the message when none is left."""
    codes = events.select((pl.col("user_id", "item_id").rank("dense") - 1).cast(pl.Int64))
    mask = k_core(codes["user_id"].to_numpy(), codes["item_id"].to_numpy(), config.k_core)
    dropped["k_core"], kept = _keep(events, pl.Series(mask))
    if not kept.height:
        raise DataError(
            f"prepare.k_core: no user and item is left with {config.k_core} {which}events each, of {events.height} "
            f"{which}events by {events['user_id'].n_unique()} users with {events['item_id'].n_unique()} items; lower "
            "prepare.k_core"
        )
    return kept


def _training_core(events: pl.DataFrame, config: PrepareConfig, dropped: dict[str, int]) -> pl.DataFrame:
    """The k-core of the training events, and of its items all other events.

    Users outside of the core are predicted for like others, since a model reads histories, not users. Their events of
    the training period are HISTORY: part of what is read, not of what is learnt from. Those without a later event are
    dropped: nothing reads them, and in sparse data they are most of the users.
    """
    training = pl.col("part") == TRAIN
    core = _core(events.filter(training), config, {}, "training ")
    known_user, known_item = (pl.col(name).is_in(core[name].unique().implode()) for name in ("user", "item"))
    dropped["k_core"], events = _keep(events, known_item | ~training)
    dropped["item_not_in_training"], events = _keep(events, known_item)
    has_later = pl.col("user").is_in(events.filter(~training)["user"].unique().implode())
    unread, events = _keep(events, known_user | has_later)
    dropped["k_core"] += unread
    part = pl.when(training & ~known_user).then(HISTORY).otherwise(pl.col("part")).cast(pl.Int8)
    # Users of the core are numbered first, so that their numbers do not depend on later events either.
    return events.with_columns(part.alias("part"), known_user.alias("in_core"))


def _number(events: pl.DataFrame, first: pl.Expr | None = None) -> pl.DataFrame:
    """`user` and `item` (int32, by the order of the ids), sorted by user and time; ties stay in file order.

    `first` (bool) says whose users come before all others.
    """
    ids = {"user": pl.col("user_id"), "item": pl.col("item_id")}
    numbers = {name: (column.rank("dense") - 1).cast(pl.Int32) for name, column in ids.items()}
    if first is not None:
        numbers["user"] = (pl.struct(~first, "user").rank("dense") - 1).cast(pl.Int32)
    return events.with_columns(**numbers).sort("user", "timestamp", maintain_order=True)


def _split(events: pl.DataFrame, config: PrepareConfig, times: pl.Series) -> np.ndarray:
    """The part of each event, int8 [n]; `times` are those that say when the periods of global_time begin."""
    if config.split == "leave_one_out":
        return leave_one_out(events["user"].to_numpy())
    return global_time(events["timestamp"].to_numpy(), period_starts(times.to_numpy()))


def _catalogue(events: pl.DataFrame, items: Path) -> pl.DataFrame:
    """One row an item, in the order of `item`; items without metadata have empty texts."""
    counted = events.group_by("item").agg(
        pl.col("item_id").first(),
        (pl.col("part") == TRAIN).sum().cast(pl.Int32).alias("train_count"),
    )
    texts = (
        pl.scan_parquet(items, glob=False).join(counted.select("item_id").lazy(), on="item_id", how="semi").collect()
    )
    filled = [pl.col(name).fill_null("") for name in ("title", "description", "brand")]
    return (
        counted.join(texts, on="item_id", how="left")
        .with_columns(*filled, pl.col("categories").fill_null([]))
        .sort("item")
    )


def _sequences(events: pl.DataFrame, schema: pa.Schema, users: pa.Table | None = None) -> pa.Table:
    """One row for every user with events, with the ids of `users` where given. events: sorted by user, then time."""
    number, lengths = np.unique(events["user"].to_numpy(), return_counts=True)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    lists = [pa.ListArray.from_arrays(offsets, _arrow(events, name)) for name in ("item", "event", "timestamp")]
    names = [users["user_id"].take(pa.array(number, pa.int64()))] if users is not None else []
    return pa.Table.from_arrays([pa.array(number, pa.int32()), *names, *lists], schema=schema)


def _targets(events: pl.DataFrame) -> pl.DataFrame:
    """The columns of TARGETS and `part` for every event to predict that has events of the user before it, in order.

    events: sorted by user, then time."""
    before = pl.int_range(pl.len()).over("user").cast(pl.Int32).alias("history_length")
    return (
        events.with_columns(before)
        .filter(pl.col("part").is_in([VALID, TEST]) & (pl.col("history_length") > 0))
        .rename({"item": "target", "event": "target_event"})
    )


def _before_last_target(events: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """The events that some target has in its history: of every user with targets, those before the last one."""
    longest = targets.group_by("user").agg(pl.col("history_length").max().alias("longest"))
    joined = events.join(longest, on="user", how="inner", maintain_order="left")
    return joined.filter(pl.int_range(pl.len()).over("user") < pl.col("longest"))


def _arrow(events: pl.DataFrame, name: str) -> pa.Array:
    array = events[name].rechunk().to_arrow()
    return array.cast(EVENTS.field(name).type)


def k_core(users: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """Which events survive when users and items with fewer than `k` events are removed until none is left to remove.

    users, items: int [n], ids from 0. Returns bool [n], the largest set of events in which every user and every item
    has at least `k` of them; it is unique, so the order of removal does not matter (Seidman 1983, for bipartite graphs).
    """
    kept = np.arange(len(users))
    num_users = int(users.max(initial=-1)) + 1
    num_items = int(items.max(initial=-1)) + 1
    while True:
        user_ok = np.bincount(users[kept], minlength=num_users) >= k
        item_ok = np.bincount(items[kept], minlength=num_items) >= k
        stays = user_ok[users[kept]] & item_ok[items[kept]]
        if stays.all():
            mask = np.zeros(len(users), dtype=bool)
            mask[kept] = True
            return mask
        kept = kept[stays]


def leave_one_out(users: np.ndarray) -> np.ndarray:
    """TEST for the last event of a user, VALID for the one before, TRAIN for the others and for users with fewer
    than 3 events. users: int [n], sorted. Returns int8 [n]."""
    counts = np.bincount(users)
    ends = np.cumsum(counts)[counts >= 3]
    part = np.full(len(users), TRAIN, dtype=np.int8)
    part[ends - 1] = TEST
    part[ends - 2] = VALID
    return part


def period_starts(timestamps: np.ndarray) -> tuple[int, int]:
    """When validation and test begin: the times of the events behind the first 80% and 90%. timestamps: int64 [n].

    Raises DataError when the timestamps are no times.
    """
    if timestamps.max() < POSITION_LIMIT:
        raise DataError(
            "prepare.split: global_time needs times, but the timestamps of this data are positions in a user's "
            "sequence; set prepare.split to leave_one_out"
        )
    ordered = np.sort(timestamps)
    return int(ordered[len(ordered) * 8 // 10]), int(ordered[len(ordered) * 9 // 10])


def global_time(timestamps: np.ndarray, starts: tuple[int, int]) -> np.ndarray:
    """TRAIN for events before the first of `starts`, TEST from the second one on, VALID between; events of one time
    stay together, in the later part. timestamps: int64 [n]. Returns int8 [n]. Raises DataError without TRAIN events."""
    valid_from, test_from = starts
    part = np.where(timestamps >= test_from, TEST, np.where(timestamps >= valid_from, VALID, TRAIN)).astype(np.int8)
    if not (part == TRAIN).any():
        raise DataError(
            f"prepare.split: global_time leaves no training event, none is before {valid_from} (milliseconds since "
            "1970): most events have one and the same time, or the filters drop the early ones; set prepare.split to "
            "leave_one_out, or loosen prepare.events and prepare.min_rating"
        )
    return part
