"""Batches of a few users by the tiny model of tests/support/serve_tiny.py, in this process."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from genrec import tables
from genrec.config import PrepareConfig, RecommendConfig
from genrec.serve.batch.collect import collect
from genrec.serve.batch.plan import Plan, make_plan
from genrec.serve.batch.shard import Model, recommend_shard
from genrec.tables import RECOMMENDATIONS_FILE
from tests.support.serve_tiny import write_files

T0_MS, DAY_MS = 1_600_000_000_000, 86_400_000
Event = tuple[str, str, int, str]  # user, item, day, type


def write_model(folder: Path) -> Model:
    """The tiny model; item n of its catalogue is called i<n>."""
    files = write_files(folder)
    catalogue = tables.CATALOGUE_FILE.read(files.catalogue.parent)
    names = pa.array([f"i{item}" for item in range(len(catalogue))])
    tables.CATALOGUE_FILE.write(catalogue.set_column(1, "item_id", names), files.catalogue.parent)
    return Model(files.model_key, files.catalogue.parent, files.embed, files.sids, files.base, files.model)


def write_events(folder: Path, events: Sequence[Event], row_group_size: int | None = None) -> Path:
    """interactions.parquet as ingest writes it: by user and time. A day below zero is a position."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = sorted(events, key=lambda event: (event[0].encode(), event[2]))
    columns = {
        "user_id": [row[0] for row in rows],
        "item_id": [row[1] for row in rows],
        "timestamp": [T0_MS + row[2] * DAY_MS for row in rows],
        "event": [row[3] for row in rows],
        "rating": pa.nulls(len(rows), pa.float32()),
    }
    table = pa.table(columns, schema=tables.INTERACTIONS)
    pq.write_table(table, folder / "interactions.parquet", row_group_size=row_group_size)
    return folder


def types_of(ingest: Path) -> dict[str, int]:
    return dict(Counter(tables.INTERACTIONS_FILE.read(ingest)["event"].to_pylist()))


def plan_of(ingest: Path, model: Model, config: RecommendConfig, work: Path) -> Plan:
    work.mkdir(parents=True, exist_ok=True)
    return make_plan(ingest, model.prepare, types_of(ingest), config, work)


def search(
    ingest: Path, model: Model, config: RecommendConfig, plan: Plan, shard: int, work: Path, **prepare: Any
) -> None:
    recommend_shard(ingest, model, PrepareConfig(**prepare), config, "fp32", plan, shard, work, device="cpu")


def batch(
    ingest: Path, model: Model, config: RecommendConfig, folder: Path, **prepare: Any
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """(the rows by user, the summary) of a batch from its plan to its artifact in `folder`/out."""
    work, out = folder / "work", folder / "out"
    plan = plan_of(ingest, model, config, work)
    for shard in range(len(plan.shards)):
        search(ingest, model, config, plan, shard, work, **prepare)
    out.mkdir()
    summary = collect(plan, work, out)
    return rows_of(out), summary


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    parts = [pq.read_table(part) for part in RECOMMENDATIONS_FILE.parts(out)]
    return {row["user_id"]: row for row in pa.concat_tables(parts).to_pylist()}
