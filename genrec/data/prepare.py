"""Prepare: the index of genrec.data.index to sequences and targets.

`build_shard` writes the sequences of a slice of the users, `merge_shards` puts the slices together. The result does not
depend on the number of shards. Both hold some users at a time, of about BLOCK_EVENTS events in all.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.data.frames import TableWriter
from genrec.data.index import EVENTS, EVENTS_FILE
from genrec.data.split import HISTORY, TEST, TRAIN, VALID
from genrec.errors import DataError
from genrec.tables import (
    CATALOGUE_FILE,
    HISTORIES,
    HISTORIES_FILE,
    SEQUENCES,
    TEST_FILE,
    TRAIN_FILE,
    USERS_FILE,
    VALID_FILE,
    TableFile,
)

SHARDED = (TRAIN_FILE, HISTORIES_FILE, VALID_FILE, TEST_FILE)
BLOCK_EVENTS = 1 << 20
_BLOCK_USERS = 1 << 16
_PLACE = np.argsort([TRAIN, HISTORY, VALID, TEST])  # of each part among events of one time


def build_shard(indexed: Path, shard: int, num_shards: int, out: Path) -> None:
    """Write the sequences and targets of the users of one slice (`shard` of `num_shards`) to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    num_users = pq.read_metadata(USERS_FILE.path(indexed)).num_rows
    low, high = (num_users * s // num_shards for s in (shard, shard + 1))
    with ExitStack() as stack:
        writers = {file: stack.enter_context(_writer(file, file.part(out, shard), passing=True)) for file in SHARDED}
        for events in _blocks(indexed, low, high):
            events = _in_order(indexed, events)
            targets = _targets(events)
            users = _user_ids(indexed, int(events["user"][0]), int(events["user"][-1]) + 1)
            trained = _sequences(events.filter(pl.col("part") == TRAIN), SEQUENCES, users)
            writers[TRAIN_FILE].write(trained)
            writers[HISTORIES_FILE].write(_sequences(_before_last_target(events, targets), HISTORIES))
            for file, part in ((VALID_FILE, VALID), (TEST_FILE, TEST)):
                writers[file].write_frame(targets.filter(pl.col("part") == part))


def _writer(file: TableFile, path: Path, passing: bool = False) -> TableWriter:
    assert file.schema is not None
    return TableWriter(path, file.schema, passing=passing)


def _blocks(indexed: Path, low: int, high: int) -> Iterator[pl.DataFrame]:
    """The events of users low..high-1, some whole users at a time."""
    held: list[pl.DataFrame] = []
    for rows in _rows(EVENTS_FILE.path(indexed), "user", low, high):
        held.append(rows)
        if sum(frame.height for frame in held) >= BLOCK_EVENTS:
            events = pl.concat(held)
            complete = int(events["user"].search_sorted(events["user"][-1], side="left"))
            if complete:
                yield events[:complete]
            held = [events[complete:]]
    if held:
        yield pl.concat(held)


def _user_ids(indexed: Path, low: int, high: int) -> pl.DataFrame:
    """user and user_id of the users low..high-1."""
    return pl.concat(_rows(USERS_FILE.path(indexed), "user", low, high))


def _rows(path: Path, column: str, low: int, high: int) -> Iterator[pl.DataFrame]:
    """The rows with low <= column < high of a table that is sorted by the column, without the other row groups."""
    file = pq.ParquetFile(path)
    place = file.schema_arrow.names.index(column)
    groups = []
    for group in range(file.num_row_groups):
        ends = file.metadata.row_group(group).column(place).statistics
        if ends.min < high and ends.max >= low:
            groups.append(group)
    for batch in file.iter_batches(batch_size=BLOCK_EVENTS // 4, row_groups=groups):
        rows = pl.DataFrame(pl.from_arrow(batch)).filter((pl.col(column) >= low) & (pl.col(column) < high))
        if rows.height:
            yield rows


def _sequences(events: pl.DataFrame, schema: pa.Schema, users: pl.DataFrame | None = None) -> pa.Table:
    """One row for every user with events, with the ids of `users` where given: all users from one to another.

    events: sorted by user, then time."""
    number, lengths = np.unique(events["user"].to_numpy(), return_counts=True)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    lists = [pa.ListArray.from_arrays(offsets, _arrow(events, name)) for name in ("item", "event", "timestamp")]
    names = [] if users is None else [users["user_id"].gather(number - users["user"][0]).to_arrow().cast(pa.string())]
    return pa.Table.from_arrays([pa.array(number, pa.int32()), *names, *lists], schema=schema)


def _in_order(indexed: Path, events: pl.DataFrame) -> pl.DataFrame:
    """The events, those of one user and time by part: test targets come last, so that no validation history holds one.

    Only a split that is given may have it otherwise. events: sorted by user, then time. Raises DataError that names a user
    whose test events come before others by time.
    """
    place = _PLACE[events["part"].to_numpy()]
    user, time = events["user"].to_numpy(), events["timestamp"].to_numpy()
    same_user = user[1:] == user[:-1]
    if (same_user & (time[1:] == time[:-1]) & (place[1:] < place[:-1])).any():
        events = events[np.lexsort((place, time, user))]
    read = events.filter(pl.col("part") != HISTORY)  # is in histories alone
    user, is_test = read["user"].to_numpy(), read["part"].to_numpy() == TEST
    if len(early := np.flatnonzero(is_test[:-1] & ~is_test[1:] & (user[:-1] == user[1:]))):
        number = int(user[early[0]])
        name = _user_ids(indexed, number, number + 1)["user_id"][0]
        raise DataError(
            f"prepare.split: given: user {name!r} has an event of the part test before one of train or valid, which would be "
            "learned or chosen with the test target in sight; correct the parts, or set prepare.split to leave_one_out or "
            "global_time"
        )
    return events


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


def merge_shards(indexed: Path, parts: Path, out: Path) -> dict[str, Any]:
    """Put the slices together: train, histories, valid, test, catalogue and users.parquet.

    Returns the summary of `index` with train_events, valid_targets, test_targets and targets_without_history (events
    of the validation or test part that have nothing before them and cannot be predicted from a history).
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for file in SHARDED:
        paths = file.parts(parts)
        if not paths:
            raise DataError(f"{parts}: no parts of {file.name} to merge")
        with _writer(file, file.path(out)) as writer:
            for path in paths:
                for batch in pq.ParquetFile(path).iter_batches(batch_size=_BLOCK_USERS):
                    writer.write(pa.Table.from_batches([batch]))
        rows[file] = writer.num_rows
    for file in (CATALOGUE_FILE, USERS_FILE):
        shutil.copyfile(file.path(indexed), file.path(out))
    summary = json.loads((indexed / "index.json").read_text())
    train_events = int(CATALOGUE_FILE.read(out, ["train_count"])["train_count"].to_numpy().sum())
    targets = rows[VALID_FILE] + rows[TEST_FILE]
    return {
        **summary,
        "train_users": rows[TRAIN_FILE],
        "train_events": train_events,
        "valid_targets": rows[VALID_FILE],
        "test_targets": rows[TEST_FILE],
        "targets_without_history": summary["interactions"] - train_events - summary["history_events"] - targets,
    }
