"""Prepare on disk gives the tables of prepare in memory, whatever fits into a piece, a block or a row group."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec import tables
from genrec.config import PrepareConfig
from genrec.data import catalogue, columns_on_disk, encoded, frames, prepare
from genrec.errors import DataError
from tests.support import in_memory_prepare
from tests.support.data_samples import T0_MS, run_prepare, write_ingested

TABLES = ("users", "catalogue", "train", "histories", "valid", "test")


@pytest.fixture
def _tiny_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_on_disk, "CHUNK_ROWS", 5)
    monkeypatch.setattr(encoded, "CHUNK_ROWS", 4)
    monkeypatch.setattr(prepare, "BLOCK_EVENTS", 8)
    monkeypatch.setattr(prepare, "_BLOCK_USERS", 2)
    monkeypatch.setattr(catalogue, "_ITEM_ROWS", 3)
    monkeypatch.setattr(frames, "GROUP_ROWS", 7)


def _events(split: str) -> st.SearchStrategy[list[tuple]]:
    types = ["train", "valid", "test", "history"] if split == "given" else ["review", "purchase", "click"]
    row = st.tuples(
        st.sampled_from(["a", "b", "bb", "c", "ü", "z"]),
        st.sampled_from(["", "0", "1", "10", "9", "é"]).map("i{}".format),
        st.integers(0, 25).map(lambda day: T0_MS + day),
        st.sampled_from(types),
        st.sampled_from([None, 1.0, 3.0, 5.0]),
    )
    return st.lists(row, min_size=1, max_size=90)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[PrepareConfig, list[tuple], list[str]]:
    split = draw(st.sampled_from(["leave_one_out", "global_time", "given"]))
    settings: dict[str, Any] = {
        "split": split,
        "k_core": draw(st.integers(1, 3)),
        "k_core_on": draw(st.sampled_from(["auto", "training", "all"])),
        "dedupe": draw(st.sampled_from(["user_item", "none"])),
        "min_rating": draw(st.sampled_from([None, None, 3.0])) if split != "given" else None,
        "events": draw(st.sampled_from([None, None, ["review", "purchase"]])) if split != "given" else None,
    }
    described = draw(st.lists(st.sampled_from(["a", "i0", "i1", "i9", "ié", "zz"]), unique=True))
    rows = draw(_events(split))
    return PrepareConfig(**settings), _in_order(rows) if split == "given" else rows, sorted(described)


def _in_order(rows: list[tuple]) -> list[tuple]:
    """The rows with the parts of each user in the order that a given split has: another one is refused."""
    parts = ["train", "history", "valid", "test"]
    by_time = sorted(rows, key=lambda row: (row[0], row[2]))
    by_part = sorted(rows, key=lambda row: (row[0], parts.index(row[3])))
    return [(*event[:3], part[3], event[4]) for event, part in zip(by_time, by_part, strict=True)]


def _write(folder: Path, rows: list[tuple], described: list[str]) -> Path:
    folder.mkdir()
    frame = pl.DataFrame(rows, schema=tables.INTERACTIONS.names, orient="row", infer_schema_length=None)
    frame = frame.sort("user_id", "timestamp", maintain_order=True)
    tables.INTERACTIONS_FILE.write(frame.with_columns(pl.col("rating").cast(pl.Float32)).to_arrow(), folder)
    items = [{"item_id": i, "title": f"T{i}", "description": "", "brand": "", "categories": ["c"]} for i in described]
    tables.ITEMS_FILE.write(tables.pa.Table.from_pylist(items, schema=tables.ITEMS), folder)
    return folder


def _result(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except DataError as error:
        return str(error)


@pytest.mark.usefixtures("_tiny_memory")
@settings(max_examples=15, deadline=None)
@given(case=_cases(), num_shards=st.integers(1, 3))
def test_prepare_equals_the_one_in_memory(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[PrepareConfig, list[tuple], list[str]], num_shards: int
) -> None:
    config, rows, described = case
    folder = tmp_path_factory.mktemp("prepare")
    ingested = _write(folder / "ingest", rows, described)
    expected = _result(in_memory_prepare.prepare, ingested, config, folder / "memory")
    summary = _result(run_prepare, ingested, config, folder, num_shards)
    if isinstance(expected, str):
        assert summary == expected
        return
    assert {name: summary[name] for name in expected} == expected
    for name in TABLES:
        written, meant = (pl.read_parquet(folder / side / f"{name}.parquet") for side in ("prepared", "memory"))
        assert written.equals(meant, null_equal=True), name
    events = [pl.read_parquet(folder / side / "events.parquet") for side in ("index", "memory")]
    assert events[0].equals(events[1])
    assert not list((folder / "index").glob("spill*"))


def test_small_tables_are_the_same_bytes_as_in_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    events = [(f"u{rng.integers(30)}", f"i{rng.integers(20)}", T0_MS + int(rng.integers(999))) for _ in range(900)]
    ingested = write_ingested(tmp_path / "ingest", events)
    in_memory_prepare.prepare(ingested, PrepareConfig(k_core=3), tmp_path / "memory")
    run_prepare(ingested, PrepareConfig(k_core=3), tmp_path)
    for name in TABLES:
        written, meant = ((tmp_path / side / f"{name}.parquet").read_bytes() for side in ("prepared", "memory"))
        assert written == meant, name


def test_filters_that_leave_nothing_of_a_given_split_are_named(tmp_path: Path) -> None:
    ingested = _write(tmp_path / "ingest", [("u", "i", T0_MS, "train", 1.0)], [])
    with pytest.raises(DataError, match=r"no event passes the filters; loosen prepare\.events"):
        run_prepare(ingested, PrepareConfig(split="given", min_rating=3.0), tmp_path)


@pytest.mark.parametrize("name", ["interactions", "items"])
def test_tables_that_are_not_sorted_are_refused(tmp_path: Path, name: str) -> None:
    rows = [(f"u{n}", f"i{n}", T0_MS, "review", None) for n in range(3)]
    ingested = _write(tmp_path / "ingest", rows, ["i0", "i1"])
    table = tables.read_table(ingested / f"{name}.parquet")
    tables.write_table(table.take([1, 0]), ingested / f"{name}.parquet", table.schema)
    with pytest.raises(DataError, match=rf"{name}\.parquet is not sorted"):
        run_prepare(ingested, PrepareConfig(k_core=1), tmp_path)
