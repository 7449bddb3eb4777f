"""Small inputs for the tests of genrec/data, and the stages run end to end in a folder."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from genrec import tables
from genrec.config import DataConfig, PrepareConfig
from genrec.data import ingest, prepare
from genrec.data.index import index
from genrec.data.merge import merge
from genrec.data.targets import read_targets

T0_MS = 1_600_000_000_000


def review(user: str, item: str, day: int = 0, **values: Any) -> dict[str, Any]:
    """A review in the 2023 layout."""
    base = {"user_id": user, "parent_asin": item, "rating": 5.0, "timestamp": T0_MS + day * 86_400_000}
    return {**base, "verified_purchase": True, **values}


def write_lines(path: Path, rows: list[Any]) -> Path:
    """JSON lines; bytes are written as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def run_ingest(config: DataConfig, folder: Path, shards: list | None = None) -> dict[str, Any]:
    """plan, read_shard, merge; the artifacts are in folder/ingest."""
    for shard in shards if shards is not None else ingest.plan(config, folder / "raw"):
        ingest.read_shard(shard, config, folder / "parts")
    return merge(folder / "parts", config, folder / "ingest")


def run_prepare(ingested: Path, config: PrepareConfig, folder: Path, num_shards: int = 2) -> dict[str, Any]:
    """index, build_shard, merge_shards; the artifacts are in folder/prepared."""
    index(ingested, config, folder / "index")
    for shard in range(num_shards):
        prepare.build_shard(folder / "index", shard, num_shards, folder / "slices")
    return prepare.merge_shards(folder / "index", folder / "slices", folder / "prepared")


def rows_with_histories(path: Path) -> list[dict[str, Any]]:
    """The rows of valid.parquet or test.parquet, each with the items of its `history`, as the reader gives them."""
    histories = read_targets(path).histories
    rows = tables.read_table(path, tables.TARGETS).to_pylist()
    return [{**row, "history": history.tolist()} for row, history in zip(rows, histories, strict=True)]


def write_ingested(folder: Path, events: list[tuple[str, str, int]]) -> Path:
    """An ingest artifact with (user, item, timestamp) purchases and no metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").with_columns(
        pl.lit("purchase").alias("event"), pl.lit(None, dtype=pl.Float32).alias("rating")
    )
    frame = frame.sort("user_id", "timestamp", maintain_order=True)
    tables.write_table(frame.to_arrow(), folder / "interactions.parquet", tables.INTERACTIONS)
    tables.write_table(tables.ITEMS.empty_table(), folder / "items.parquet", tables.ITEMS)
    return folder
