"""What every module of genrec/data/sources promises."""

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from genrec import tables, variants
from genrec.config import DataConfig
from genrec.data import ingest
from genrec.data.quarantine import REASONS
from genrec.data.shards import ROW_TYPES
from genrec.data.sources.minionerec import PARTS as MINIONEREC_PARTS
from genrec.errors import DataError
from tests.support.data_samples import T0_MS, review, run_ingest, write_lines
from tests.support.minionerec_files import write_layout

PACKAGE = "genrec.data.sources"
SOURCES = variants.names(PACKAGE)
USERS, ITEMS = 6, 5


def sample(name: str, folder: Path) -> DataConfig:
    """A small input of 6 users x 5 items. A new source that needs files gets its sample here."""
    pairs = [(f"u{u}", f"i{i}", u + i) for u in range(USERS) for i in range(ITEMS)]
    if hasattr(variants.load(PACKAGE, name), "generate"):
        return DataConfig(source=name, options={"num_users": 40, "num_items": 30})
    if name == "amazon2023":
        write_lines(folder / "a.jsonl", [review(u, i, d) for u, i, d in pairs])
        write_lines(folder / "meta_a.jsonl", [{"parent_asin": f"i{i}", "title": f"T{i}"} for i in range(ITEMS)])
    elif name == "amazon2018":
        rows = [{"reviewerID": u, "asin": i, "overall": 4.0, "unixReviewTime": T0_MS // 1000 + d} for u, i, d in pairs]
        write_lines(folder / "a.json", rows)
        write_lines(folder / "meta_a.json", [{"asin": f"i{i}", "title": f"T{i}"} for i in range(ITEMS)])
    elif name == "table":
        folder.mkdir()
        frame = pl.DataFrame(pairs, schema=["user_id", "item_id", "timestamp"], orient="row")
        frame.write_parquet(folder / "interactions.parquet")
        titles = [f"T{i}" for i in range(ITEMS)]
        pl.DataFrame({"item_id": [f"i{i}" for i in range(ITEMS)], "title": titles}).write_csv(folder / "items.csv")
    elif name == "minionerec":
        rows = {part: [(f"u{u}", [3, 4], f"{5 + u % 3}") for u in range(USERS)] for part in MINIONEREC_PARTS}
        write_layout(folder, rows)
    else:
        pytest.fail(f"no sample for the source {name}: add one to this function")
    return DataConfig(source=name, path=str(folder))


@pytest.mark.parametrize("name", SOURCES)
def test_settings_are_a_frozen_documented_dataclass(name: str) -> None:
    config = variants.load(PACKAGE, name).Config
    assert dataclasses.is_dataclass(config)
    assert config.__dataclass_params__.frozen  # type: ignore[union-attr]
    assert all(field.metadata.get("doc") for field in dataclasses.fields(config))


@pytest.mark.parametrize("name", SOURCES)
def test_batches_have_the_declared_columns_and_known_reasons(name: str, tmp_path: Path) -> None:
    config = sample(name, tmp_path / "in")
    module, options = variants.build(PACKAGE, name, config.options)
    shards = ingest.plan(config, tmp_path / "raw")
    assert {shard.kind for shard in shards} == {"interactions", "items"}
    for shard in shards:
        batches = list(module.read(shard, options))
        assert sum(batch.rows.height for batch in batches) > 0
        for batch in batches:
            assert dict(batch.rows.schema) == ROW_TYPES[shard.kind]
            assert {row.reason for row in batch.bad} <= set(REASONS)


@pytest.mark.parametrize("name", SOURCES)
def test_the_same_input_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    config = sample(name, tmp_path / "in")
    first, second = (run_ingest(config, tmp_path / run) for run in ("a", "b"))
    assert first == second
    for file in ("interactions.parquet", "items.parquet", "quarantine.parquet"):
        assert (tmp_path / "a/ingest" / file).read_bytes() == (tmp_path / "b/ingest" / file).read_bytes()


@pytest.mark.parametrize("name", SOURCES)
def test_artifacts_match_their_schemas_and_are_sorted(name: str, tmp_path: Path) -> None:
    summary = run_ingest(sample(name, tmp_path / "in"), tmp_path)
    interactions = tables.read_table(tmp_path / "ingest/interactions.parquet", tables.INTERACTIONS)
    items = tables.read_table(tmp_path / "ingest/items.parquet", tables.ITEMS)
    tables.read_table(tmp_path / "ingest/quarantine.parquet", tables.QUARANTINE)
    order = list(zip(interactions["user_id"].to_pylist(), interactions["timestamp"].to_pylist(), strict=True))
    assert order == sorted(order)
    assert summary["interactions"] == interactions.num_rows
    assert summary["catalogue_items"] == items.num_rows > 0


@pytest.mark.parametrize("name", [n for n in SOURCES if not hasattr(variants.load(PACKAGE, n), "generate")])
def test_a_missing_path_is_an_error_that_says_what_is_there(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt"):
        ingest.plan(DataConfig(source=name, path=str(tmp_path)), tmp_path / "raw")
    with pytest.raises(DataError, match=r"data\.path"):
        ingest.plan(DataConfig(source=name), tmp_path / "raw")


@pytest.mark.parametrize("name", SOURCES)
def test_the_fingerprint_follows_the_contents_not_the_place(name: str, tmp_path: Path) -> None:
    config = sample(name, tmp_path / "in")
    before = ingest.fingerprint(config)
    if hasattr(variants.load(PACKAGE, name), "generate"):
        assert before == {}
        return
    assert before
    assert ingest.fingerprint(sample(name, tmp_path / "elsewhere")) == before
    changed = next(iter(before))
    with (tmp_path / "in" / changed).open("ab") as file:
        file.write(b"\n")
    after = (
        ingest.fingerprint(config) if not changed.endswith(".parquet") else {changed: "a Parquet file may not open now"}
    )
    assert after[changed] != before[changed]
