"""One shard of a batch: its users' events, their lists, a Parquet part, and a record of what was counted.

The part is renamed to its name when it is whole and on the disk, the record is written after it: a shard is finished
when its record is there.
"""

import functools
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from genrec.config import PrepareConfig, RecommendConfig
from genrec.errors import DataError
from genrec.serve.batch.events import Events, read_events
from genrec.serve.batch.filters import open_items
from genrec.serve.batch.lists import Lists, histories, make_lists
from genrec.serve.batch.plan import Plan, write_whole
from genrec.serve.engine import Engine
from genrec.serve.model_files import ModelFiles
from genrec.serve.recommender import Limits, load_engine
from genrec.tables import RECOMMENDATIONS, RECOMMENDATIONS_FILE, write_table

NUM_NAMED = 10  # unknown users that a record names


@dataclass(frozen=True)
class Model:
    """Folders of the artifacts that make lists, and the key of the model's."""

    key: str
    prepare: Path
    embed: Path
    sid: Path
    base: Path
    model: Path
    rank: Path | None = None  # where lists are ranked


def recommend_shard(
    ingest: Path,
    model: Model,
    prepare: PrepareConfig,
    config: RecommendConfig,
    precision: str,
    plan: Plan,
    shard: int,
    work: Path,
    device: str | None = None,
) -> int:
    """Write the part and the record of a shard into `work`; its users. ingest: folder with the events of the histories.

    Raises DataError where lists were to be ranked and that failed: the shard stays unfinished, and is searched again.
    """
    began = time.perf_counter()
    engine = engine_of(model, config, precision, device)
    item_ids = pa.array(engine.catalogue.item_ids, pa.string())
    events = read_events(ingest, work, plan, shard, item_ids, prepare, config)
    read = histories(events, prepare.dedupe == "user_item")
    failed = _failed(engine)
    lists = make_lists(engine, read, events, config.k, config.seen_items == "keep")
    if number := _failed(engine) - failed:  # the engine serves several shards and counts those of all
        raise DataError(
            f"{model.rank}: the ranking failed for {number} of {len(events.users)} users of shard {shard}, as the log "
            "says; compute the stage rank again, or take the generator's lists: service.rank=false"
        )
    part = RECOMMENDATIONS_FILE.part(work, shard)
    partial = part.with_suffix(".partial")
    write_table(_table(lists, events.users, item_ids, model.key, plan.made_at_ms), partial, RECOMMENDATIONS)
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    os.replace(partial, part)
    record = {**_counts(lists, events), "seconds": time.perf_counter() - began, "sha256": digest}
    write_whole(record_of(work, shard), json.dumps(record).encode())
    return len(events.users)


def _failed(engine: Engine) -> int:
    """Lists so far that are the generator's because their ranking failed."""
    ranking = getattr(engine, "ranking", None)
    if ranking is None:
        return 0
    from genrec.serve.ranked.lists import FAILED

    return int(ranking.counted[FAILED])


def record_of(work: Path, shard: int) -> Path:
    """Where the record of a shard is once it is finished."""
    return work / f"shard-{shard:05d}.json"


def finished(work: Path, shard: int) -> dict[str, Any] | None:
    """The record of a finished shard whose part is as it was written; None for one that is to be searched."""
    try:
        record = json.loads(record_of(work, shard).read_text())
        with RECOMMENDATIONS_FILE.part(work, shard).open("rb") as handle:
            return record if hashlib.file_digest(handle, "sha256").hexdigest() == record["sha256"] else None
    except (OSError, ValueError, KeyError):
        return None


def engine_of(model: Model, config: RecommendConfig, precision: str, device: str | None = None) -> Engine:
    """The engine of a model over the items that the config lets through. A process that searches several shards loads the
    model once."""
    engine = _loaded(model, config.beam_width, config.batch_size, precision, device)
    is_open = open_items(model.prepare, config)
    if is_open is None:
        return engine
    return engine.with_catalogue(engine.catalogue.with_stock({i: i in is_open for i in engine.catalogue.item_ids}))


@functools.lru_cache(maxsize=1)
def _loaded(model: Model, beam_width: int, batch_size: int, precision: str, device: str | None) -> Engine:
    files = ModelFiles(
        model_key=model.key,
        run_id="",
        where=model.key,
        catalogue=model.prepare / "catalogue.parquet",
        sids=model.sid,
        model=model.model,
        base=model.base,
        embed=model.embed,
        encoder={},
        beam_width=beam_width,
        precision=precision,
        ranking=model.rank,
    )
    return load_engine(files, device, Limits(max_batch=batch_size))


def _table(lists: Lists, users: pa.Array, item_ids: pa.Array, model_key: str, made_at_ms: int) -> pa.Table:
    """The columns of RECOMMENDATIONS."""
    listed = lists.items >= 0
    source = np.where(~listed.any(axis=1), "none", np.where(lists.by_model, "model", "popular"))
    offsets = pa.array(np.concatenate([[0], np.cumsum(listed.sum(axis=1))]), pa.int32())
    columns = {
        "user_id": users,
        "items": pa.ListArray.from_arrays(offsets, item_ids.take(pa.array(lists.items[listed]))),
        "scores": pa.ListArray.from_arrays(offsets, pa.array(lists.scores[listed])),
        "source": pa.array(source.tolist(), pa.string()),
        "model_key": pa.repeat(pa.scalar(model_key), len(users)),
        "made_at": pa.repeat(pa.scalar(made_at_ms, pa.timestamp("ms", tz="UTC")), len(users)),
    }
    return pa.table(columns)


def _counts(lists: Lists, events: Events) -> dict[str, Any]:
    """What is told of a shard; unknown users are named, the first few of them."""
    lengths = (lists.items >= 0).sum(axis=1)
    unknown = events.users.filter(pa.array(~events.is_known))
    skipped = events.in_history & (events.item < 0)
    return {
        "users": len(events.users),
        "by_model": int((lists.by_model & (lengths > 0)).sum()),
        "by_popularity": int((~lists.by_model & (lengths > 0)).sum()),
        "short": int((lengths < lists.items.shape[1]).sum()),
        "skipped_events": int(skipped.sum()),
        "history_events": int(events.in_history.sum()),
        "unknown_users": len(unknown),
        "unknown_named": unknown[:NUM_NAMED].to_pylist(),
    }
