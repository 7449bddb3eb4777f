"""Prepare: interactions to integer ids, sequences and a split.

`index` filters and numbers everything once; `build_shard` writes the sequences of a slice of the users; `merge_shards`
puts the slices together. The result does not depend on the number of shards.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from genrec import tables
from genrec.config import PrepareConfig
from genrec.data.kcore import k_core
from genrec.data.quarantine import POSITION_LIMIT
from genrec.errors import DataError

TRAIN, VALID, TEST = 0, 1, 2
TABLES = {"train": tables.SEQUENCES, "valid": tables.TARGETS, "test": tables.TARGETS}
EVENTS = pa.schema(  # of the index: sorted by user, then time
    [
        pa.field("user", pa.int32(), nullable=False),
        pa.field("item", pa.int32(), nullable=False),
        pa.field("event", pa.string(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),
        pa.field("part", pa.int8(), nullable=False),  # TRAIN, VALID or TEST
    ]
)


# ---- index ------------------------------------------------------------------------------------------------------------


def index(ingest: Path, config: PrepareConfig, out: Path) -> dict[str, Any]:
    """Filter, de-duplicate, take the k-core, number users and items (0.. in the order of their ids) and split.

    Writes events.parquet, users.parquet, catalogue.parquet and index.json to `out`, and returns the summary: users,
    items, interactions, dropped (rows by filter), density, mean_events (a user).
    """
    out.mkdir(parents=True, exist_ok=True)
    events, dropped = _filtered(ingest / "interactions.parquet", config)
    events = _number(_core(events, config, dropped))
    part = _split(events, config)
    users = events.select("user", "user_id").unique(maintain_order=True)
    catalogue = _catalogue(events, part, ingest / "items.parquet")
    events = events.with_columns(pl.Series("part", part))
    _write(events, out / "events.parquet", EVENTS)
    _write(users, out / "users.parquet", tables.USERS)
    _write(catalogue, out / "catalogue.parquet", tables.CATALOGUE)
    summary = {
        "users": users.height,
        "items": catalogue.height,
        "interactions": events.height,
        "dropped": dropped,
        "density": events.height / (users.height * catalogue.height),
        "mean_events": events.height / users.height,
        "split": config.split,
        "cold_items": int((catalogue["train_count"] == 0).sum()),
    }
    (out / "index.json").write_text(json.dumps(summary, sort_keys=True))
    return summary


def _filtered(path: Path, config: PrepareConfig) -> tuple[pl.DataFrame, dict[str, int]]:
    """The events that pass the filters, in file order, and how many each filter dropped."""
    events = pl.read_parquet(path)
    dropped = {}
    if config.events is not None:
        unknown = sorted(set(config.events) - set(events["event"].unique()))
        if unknown:
            there = ", ".join(sorted(events["event"].unique()))
            raise DataError(f"prepare.events: no event is a {unknown[0]!r}; the data has {there}")
        dropped["event"], events = _keep(events, pl.col("event").is_in(config.events))
    if config.min_rating is not None:
        dropped["rating"], events = _keep(events, pl.col("rating").is_null() | (pl.col("rating") >= config.min_rating))
    if config.dedupe == "user_item":
        dropped["repeat"], events = _keep(events, pl.struct("user_id", "item_id").is_first_distinct())
    return events, dropped


def _keep(events: pl.DataFrame, condition: pl.Expr) -> tuple[int, pl.DataFrame]:
    kept = events.filter(condition)
    return events.height - kept.height, kept


def _core(events: pl.DataFrame, config: PrepareConfig, dropped: dict[str, int]) -> pl.DataFrame:
    codes = events.select((pl.col("user_id", "item_id").rank("dense") - 1).cast(pl.Int64))
    mask = k_core(codes["user_id"].to_numpy(), codes["item_id"].to_numpy(), config.k_core)
    kept = events.filter(pl.Series(mask))
    dropped["k_core"] = events.height - kept.height
    if not kept.height:
        raise DataError(
            f"prepare.k_core: no user and item is left with {config.k_core} events each, of {events.height} events "
            f"by {events['user_id'].n_unique()} users with {events['item_id'].n_unique()} items; lower prepare.k_core"
        )
    return kept


def _number(events: pl.DataFrame) -> pl.DataFrame:
    """`user` and `item` (int32, by the order of the ids), sorted by user and time; ties stay in file order."""
    numbers = [(pl.col(name).rank("dense") - 1).cast(pl.Int32).alias(name[:-3]) for name in ("user_id", "item_id")]
    return events.with_columns(numbers).sort("user", "timestamp", maintain_order=True)


def _split(events: pl.DataFrame, config: PrepareConfig) -> np.ndarray:
    if config.split == "leave_one_out":
        return leave_one_out(events["user"].to_numpy())
    timestamps = events["timestamp"].to_numpy()
    if timestamps.max() < POSITION_LIMIT:
        raise DataError(
            "prepare.split: global_time needs times, but the timestamps of this data are positions in a user's "
            "sequence; set prepare.split to leave_one_out"
        )
    return global_time(timestamps)


def leave_one_out(users: np.ndarray) -> np.ndarray:
    """TEST for the last event of a user, VALID for the one before, TRAIN for the others and for users with fewer
    than 3 events. users: int [n], sorted. Returns int8 [n]."""
    counts = np.bincount(users)
    ends = np.cumsum(counts)[counts >= 3]
    part = np.full(len(users), TRAIN, dtype=np.int8)
    part[ends - 1] = TEST
    part[ends - 2] = VALID
    return part


def global_time(timestamps: np.ndarray) -> np.ndarray:
    """TRAIN for the first 80% of all events, VALID for the next 10%, TEST for the last; events of one time stay
    together, in the later part. timestamps: int64 [n]. Returns int8 [n]."""
    ordered = np.sort(timestamps)
    valid_from, test_from = ordered[len(ordered) * 8 // 10], ordered[len(ordered) * 9 // 10]
    part = np.where(timestamps >= test_from, TEST, np.where(timestamps >= valid_from, VALID, TRAIN)).astype(np.int8)
    if not (part == TRAIN).any():
        raise DataError(
            "prepare.split: global_time leaves no training event, because most events have one and the same time; "
            "set prepare.split to leave_one_out"
        )
    return part


def _catalogue(events: pl.DataFrame, part: np.ndarray, items: Path) -> pl.DataFrame:
    """One row an item, in the order of `item`; items without metadata have empty texts."""
    counted = (
        events.with_columns(pl.Series("part", part))
        .group_by("item")
        .agg(
            pl.col("item_id").first(),
            (pl.col("part") == TRAIN).sum().cast(pl.Int32).alias("train_count"),
            pl.col("timestamp").min().alias("first_timestamp"),
        )
    )
    texts = pl.scan_parquet(items).join(counted.select("item_id").lazy(), on="item_id", how="semi").collect()
    filled = [pl.col(name).fill_null("") for name in ("title", "description", "brand")]
    return (
        counted.join(texts, on="item_id", how="left")
        .with_columns(*filled, pl.col("categories").fill_null([]))
        .sort("item")
    )


# ---- shards -----------------------------------------------------------------------------------------------------------


def build_shard(indexed: Path, config: PrepareConfig, shard: int, num_shards: int, out: Path) -> None:
    """Write the sequences and targets of the users of one slice (`shard` of `num_shards`) to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    users = tables.read_table(indexed / "users.parquet", tables.USERS)
    low, high = (users.num_rows * s // num_shards for s in (shard, shard + 1))
    in_slice = (pl.col("user") >= low) & (pl.col("user") < high)
    events = pl.scan_parquet(indexed / "events.parquet").filter(in_slice).collect()
    first_row = np.searchsorted(events["user"].to_numpy(), np.arange(low, high + 1))
    part = events["part"].to_numpy()
    by_name = {
        "train": _sequences(events.filter(pl.col("part") == TRAIN), users),
        "valid": _targets(events, np.flatnonzero(part == VALID), first_row, low),
        "test": _targets(events, np.flatnonzero(part == TEST), first_row, low),
    }
    for name, table in by_name.items():
        tables.write_table(table, out / f"{name}-{shard:05d}.parquet", TABLES[name])


def _sequences(events: pl.DataFrame, users: pa.Table) -> pa.Table:
    """One row for every user with training events. events: sorted by user, then time."""
    number, lengths = np.unique(events["user"].to_numpy(), return_counts=True)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    lists = [pa.ListArray.from_arrays(offsets, _arrow(events, name)) for name in ("item", "event", "timestamp")]
    names = users["user_id"].take(pa.array(number, pa.int64()))
    return pa.Table.from_arrays([pa.array(number, pa.int32()), names, *lists], schema=tables.SEQUENCES)


def _targets(events: pl.DataFrame, rows: np.ndarray, first_row: np.ndarray, low: int) -> pa.Table:
    """One row for every target in `rows` that has events before it: the history is everything of the user before."""
    starts = first_row[events["user"].to_numpy()[rows] - low]
    rows, starts = rows[rows > starts], starts[rows > starts]
    lengths = rows - starts
    ends = np.cumsum(lengths)
    # Row numbers of all histories one after the other: a running count that jumps to each history's start.
    taken = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    columns = {name: _arrow(events, name) for name in ("user", "item", "event", "timestamp")}
    history = [
        pa.ListArray.from_arrays(offsets, columns[name].take(pa.array(taken, pa.int64()))) for name in ("item", "event")
    ]
    target = [columns[name].take(pa.array(rows, pa.int64())) for name in ("user", "item", "event", "timestamp")]
    return pa.Table.from_arrays([target[0], *history, *target[1:]], schema=tables.TARGETS)


def _arrow(events: pl.DataFrame, name: str) -> pa.Array:
    array = events[name].rechunk().to_arrow()
    return array.cast(EVENTS.field(name).type)


def merge_shards(indexed: Path, parts: Path, out: Path) -> dict[str, Any]:
    """Put the slices together: train.parquet, valid.parquet, test.parquet, catalogue.parquet, users.parquet.

    Returns the summary of `index` with train_events, valid_targets, test_targets and targets_without_history (events
    of the validation or test part that have nothing before them and cannot be predicted from a history).
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name, schema in TABLES.items():
        paths = sorted(parts.glob(f"{name}-*.parquet"))
        if not paths:
            raise DataError(f"{parts}: no {name} parts to merge")
        table = pa.concat_tables([tables.read_table(path, schema) for path in paths]).combine_chunks()
        tables.write_table(table, out / f"{name}.parquet", schema)
        rows[name] = table.num_rows
    for name in ("catalogue.parquet", "users.parquet"):
        shutil.copyfile(indexed / name, out / name)
    summary = json.loads((indexed / "index.json").read_text())
    train_events = int(tables.read_table(out / "catalogue.parquet")["train_count"].to_numpy().sum())
    targets = rows["valid"] + rows["test"]
    return {
        **summary,
        "train_users": rows["train"],
        "train_events": train_events,
        "valid_targets": rows["valid"],
        "test_targets": rows["test"],
        "targets_without_history": summary["interactions"] - train_events - targets,
    }


def _write(frame: pl.DataFrame, path: Path, schema: pa.Schema) -> None:
    tables.write_table(frame.select(schema.names).to_arrow().cast(schema), path, schema)
