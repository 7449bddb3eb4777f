"""The index of prepare: interactions to numbered users, items and events, each event with its part of the split.

Every step reads columns of numbers from disk in pieces (genrec.data.encoded). What is held grows with the users and the
items, by some bytes each and the item ids; not with the events, nor with those of one user or item.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from genrec.config import PrepareConfig
from genrec.data.catalogue import write_catalogue
from genrec.data.columns_on_disk import Chunk, Chunks, add_counts
from genrec.data.encoded import Encoded
from genrec.data.frames import TableWriter
from genrec.data.kcore import Core, k_core
from genrec.data.spill import spill_folder
from genrec.data.split import (
    HISTORY,
    TRAIN,
    given_parts,
    global_time,
    leave_one_out,
    no_training_event,
    period_starts,
)
from genrec.errors import DataError
from genrec.tables import (
    INTERACTIONS_FILE,
    ITEMS_FILE,
    USERS,
    USERS_FILE,
    TableFile,
)

GIVEN_EVENT = "review"  # the type of every event whose own named its part
EVENTS = pa.schema(  # of the index: sorted by user, then time
    [
        pa.field("user", pa.int32(), nullable=False),
        pa.field("item", pa.int32(), nullable=False),
        pa.field("event", pa.string(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),
        pa.field("part", pa.int8(), nullable=False),  # TRAIN, VALID, TEST or HISTORY
    ]
)
EVENTS_FILE = TableFile("events.parquet", EVENTS)


class _Kept(NamedTuple):
    """What is left of the encoded events."""

    chunks: Chunks  # with `part`; users and items as they were encoded
    users: list[NDArray[np.bool_]]  # which users there are; those of the second group are numbered after the first
    items: NDArray[np.bool_]
    dropped: dict[str, int]


def index(ingest: Path, config: PrepareConfig, out: Path) -> dict[str, Any]:
    """Filter, de-duplicate, take the k-core, number users and items (0.. in the order of their ids) and split.

    Writes events.parquet, users.parquet, catalogue.parquet and index.json to `out`, and returns the summary: users,
    items, interactions, dropped (rows by filter), density, mean_events (a user), split, k_core_on, cold_items,
    history_events (see `_training_core`).
    """
    out.mkdir(parents=True, exist_ok=True)
    on = k_core_on(config)
    with spill_folder(out) as spill:
        encoded = Encoded(INTERACTIONS_FILE.path(ingest), config, spill)
        kept = {"none": _given, "all": _core_of_all, "training": _training_core}[on](encoded, config, spill)
        num_users = _write_users(encoded, kept, out)
        parts, train_counts = _write_events(encoded, kept, on == "none", out)
        item_ids = encoded.item_ids().filter(pl.Series(kept.items))
        order = item_ids.arg_sort()
        write_catalogue(item_ids[order], train_counts[kept.items][order.to_numpy()], ITEMS_FILE.path(ingest), out)
    num_events = sum(parts.values())
    summary = {
        "users": num_users,
        "items": len(item_ids),
        "interactions": num_events,
        "dropped": {**encoded.dropped, **kept.dropped},
        "density": num_events / (num_users * len(item_ids)),
        "mean_events": num_events / num_users,
        "split": config.split,
        "k_core_on": on,
        "cold_items": int((train_counts[kept.items] == 0).sum()),
        "history_events": parts[HISTORY],
    }
    (out / "index.json").write_text(json.dumps(summary, sort_keys=True))
    return summary


def k_core_on(config: PrepareConfig) -> Literal["training", "all", "none"]:
    """The events the k-core is taken of: what auto stands for, and none for a split that is given row by row."""
    if config.split == "given":
        return "none"
    if config.k_core_on != "auto":
        return config.k_core_on
    return "training" if config.split == "global_time" else "all"


# ---- which events, and their parts ------------------------------------------------------------------------------------


def _given(encoded: Encoded, config: PrepareConfig, spill: Path) -> _Kept:
    """Every event, with the part that its type names."""
    if not encoded.events.num_rows:
        raise DataError("prepare: no event passes the filters; loosen prepare.events or prepare.min_rating")
    part_of = given_parts(encoded.event_names()).to_numpy()

    def chunks() -> Iterator[Chunk]:
        for chunk in encoded.events.chunks():
            yield {**chunk, "part": part_of[chunk["event"]]}

    return _Kept(chunks, [encoded.user_counts > 0], encoded.item_counts > 0, {})


def _core_of_all(encoded: Encoded, config: PrepareConfig, spill: Path) -> _Kept:
    """The k-core of all events."""
    core = _core(encoded.events.chunks, encoded, config, spill)

    def in_core() -> Iterator[Chunk]:
        for chunk in encoded.events.chunks():
            yield _where(chunk, core.users[chunk["user"]] & core.items[chunk["item"]])

    def times() -> Iterator[NDArray[np.int64]]:
        return (chunk["timestamp"] for chunk in in_core())

    starts = period_starts(times) if config.split == "global_time" else None
    dropped = {"k_core": core.all_events - core.num_events}
    return _Kept(_with_parts(in_core, core.user_counts, starts), [core.users], core.items, dropped)


def _training_core(encoded: Encoded, config: PrepareConfig, spill: Path) -> _Kept:
    """The k-core of the training events, and of its items all other events.

    Users outside of the core are predicted for like others, since a model reads histories, not users. Their events of
    the training period are HISTORY: part of what is read, not of what is learnt from. Those without a later event are
    dropped: nothing reads them, and in sparse data they are most of the users.
    """
    starts = None
    if config.split == "global_time":
        # The periods are those of all events: filters and k-core change what is in them, not when they begin.
        starts = period_starts(lambda: (chunk["timestamp"] for chunk in encoded.times.chunks()))
    parted = _with_parts(encoded.events.chunks, encoded.user_counts, starts)

    def training() -> Iterator[Chunk]:
        for chunk in parted():
            yield _where(chunk, chunk["part"] == TRAIN)

    core = _core(training, encoded, config, spill, "training ")
    dropped = {"k_core": 0, "item_not_in_training": 0}
    has_later = np.zeros(encoded.num_users, dtype=bool)
    for chunk in parted():
        later, known = chunk["part"] != TRAIN, core.items[chunk["item"]]
        dropped["k_core"] += int((~known & ~later).sum())
        dropped["item_not_in_training"] += int((~known & later).sum())
        has_later[chunk["user"][known & later]] = True
    read = core.users | has_later

    def chunks() -> Iterator[Chunk]:
        for chunk in parted():
            known = core.users[chunk["user"]]
            part = np.where((chunk["part"] == TRAIN) & ~known, HISTORY, chunk["part"]).astype(np.int8)
            yield _where({**chunk, "part": part}, core.items[chunk["item"]] & read[chunk["user"]])

    for chunk in encoded.events.chunks():
        dropped["k_core"] += int((core.items[chunk["item"]] & ~read[chunk["user"]]).sum())
    # Users of the core are numbered first, so that their numbers do not depend on later events either.
    return _Kept(chunks, [core.users, read & ~core.users], core.items, dropped)


def _core(events: Chunks, encoded: Encoded, config: PrepareConfig, spill: Path, which: str = "") -> Core:
    """The k-core of `events`; `which` events they are, for the message when none is left."""
    core = k_core(events, encoded.num_users, len(encoded.item_counts), config.k_core, spill)
    if not core.num_events:
        raise DataError(
            f"prepare.k_core: no user and item is left with {config.k_core} {which}events each, of {core.all_events} "
            f"{which}events by {core.all_users} users with {core.all_items} items; lower prepare.k_core"
        )
    return core


def _with_parts(events: Chunks, counts: NDArray[np.int64], starts: tuple[int, int] | None) -> Chunks:
    """The events with `part`: of the periods that begin at `starts`, else of leave-one-out.

    events: by user, then time; counts: events of each user, int64. Raises DataError where no event is before `starts`.
    """
    first = np.cumsum(counts) - counts  # place of each user's first event among all
    if starts is not None and not any((chunk["timestamp"] < starts[0]).any() for chunk in events()):
        raise no_training_event(starts)

    def chunks() -> Iterator[Chunk]:
        passed = 0
        for chunk in events():
            user = chunk["user"]
            if starts is not None:
                part = global_time(chunk["timestamp"], starts)
            else:
                part = leave_one_out(np.arange(passed, passed + len(user)) - first[user], counts[user])
            passed += len(user)
            yield {**chunk, "part": part}

    return chunks


def _where(chunk: Chunk, mask: NDArray[np.bool_]) -> Chunk:
    return {name: column[mask] for name, column in chunk.items()}


# ---- tables -----------------------------------------------------------------------------------------------------------


def _write_users(encoded: Encoded, kept: _Kept, out: Path) -> int:
    with TableWriter(USERS_FILE.path(out), USERS) as writer:
        for group in kept.users:
            passed = 0
            for ids in encoded.user_ids():
                names = ids.filter(pl.Series(group[passed : passed + len(ids)]))
                passed += len(ids)
                number = pl.int_range(writer.num_rows, writer.num_rows + len(names), dtype=pl.Int32, eager=True)
                writer.write_frame(pl.DataFrame({"user": number, "user_id": names}))
    return writer.num_rows


def _write_events(encoded: Encoded, kept: _Kept, given: bool, out: Path) -> tuple[Counter[int], NDArray[np.int64]]:
    """Write events.parquet. Returns the events of each part, and the training events of each encoded item."""
    names = encoded.event_names()
    if given:
        names = pl.Series([GIVEN_EVENT] * len(names), dtype=pl.String)
    item_number = _numbers_by_id(encoded.item_ids(), kept.items)
    parts: Counter[int] = Counter()
    train_counts = np.zeros(len(kept.items), dtype=np.int64)
    before = 0
    with TableWriter(EVENTS_FILE.path(out), EVENTS, passing=True) as writer:
        for group in kept.users:
            user_number = before + np.cumsum(group, dtype=np.int32) - 1
            before += int(group.sum())
            for chunk in kept.chunks():
                rows = _where(chunk, group[chunk["user"]]) if len(kept.users) > 1 else chunk
                frame = {
                    "user": user_number[rows["user"]].astype(np.int32),
                    "item": item_number[rows["item"]],
                    "event": names.gather(rows["event"]),
                    "timestamp": rows["timestamp"],
                    "part": rows["part"],
                }
                writer.write_frame(pl.DataFrame(frame))
                add_counts(train_counts, rows["item"][rows["part"] == TRAIN])
                parts.update(
                    dict(zip(*(side.tolist() for side in np.unique(rows["part"], return_counts=True)), strict=True))
                )
    return parts, train_counts


def _numbers_by_id(ids: pl.Series, kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The place of each kept id among the sorted kept ids, int32 [n]; of others -1."""
    number = np.full(len(kept), -1, dtype=np.int32)
    places = np.flatnonzero(kept)
    order = ids.filter(pl.Series(kept)).arg_sort().to_numpy()
    number[places[order]] = np.arange(len(places), dtype=np.int32)
    return number
