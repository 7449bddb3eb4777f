"""The contract of ingest and prepare: whole artifacts keep it, and a breach names file, column, rule and examples."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec import tables
from genrec.config import PrepareConfig
from genrec.data import contract
from genrec.errors import DataError
from tests.support.data_samples import T0_MS, run_prepare, write_ingested


@pytest.fixture(scope="module", params=["leave_one_out", "global_time"])
def artifacts(request, tmp_path_factory):
    """(ingest, prepare) of random events."""
    root = tmp_path_factory.mktemp(request.param)
    generator = np.random.default_rng(0)
    events = [(f"u{generator.integers(20)}", f"i{generator.integers(10, 22)}", T0_MS + 1000 * t) for t in range(400)]
    write_ingested(root / "ingest", events)
    items = {"item_id": [f"i{i}" for i in range(10, 22)]} | dict.fromkeys(("title", "description", "brand"), ["a"] * 12)
    items["categories"] = pa.array([[]] * 12, pa.list_(pa.string()))
    tables.ITEMS_FILE.write(pa.table(items), root / "ingest")
    quarantine = {"file": ["f"], "line": [1], "reason": ["bad_json"], "detail": [""], "record": [""]}
    tables.QUARANTINE_FILE.write(pa.table(quarantine), root / "ingest")
    run_prepare(root / "ingest", PrepareConfig(k_core=2, dedupe="none", split=request.param), root)
    return root / "ingest", root / "prepared"


@pytest.mark.parametrize("block_rows", [1 << 18, 7])
def test_whole_artifacts_keep_the_contract_whatever_the_size_of_a_block(artifacts, block_rows, monkeypatch):
    monkeypatch.setattr(contract, "_BLOCK_ROWS", block_rows)
    contract.check_ingest(artifacts[0])
    contract.check_prepare(artifacts[1])


def test_tables_without_rows_keep_the_contract(tmp_path):
    for one in [*contract.ingest_contracts(), *contract.prepare_contracts(0, 0)]:
        pq.write_table(one.file.schema.empty_table(), one.file.path(tmp_path))
    contract.check_ingest(tmp_path)
    contract.check_prepare(tmp_path)


def _changed(values):
    return lambda name: pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(values)).otherwise(name).alias(name)


def _longer(name):
    return pl.when(pl.int_range(pl.len()) == 3).then(pl.concat_list(name, pl.col(name).list.last())).otherwise(name).alias(name)  # fmt: skip


def _numbered(name):  # the fourth row is a second third one
    return pl.when(pl.int_range(pl.len()) == 3).then(pl.col(name).shift()).otherwise(name).alias(name)


BREACHES = [
    (tables.INTERACTIONS_FILE, "timestamp", _changed(-5), "'a number from 0 to 4102444799999' in 1 rows, such as -5"),
    (tables.INTERACTIONS_FILE, "user_id", _changed(""), "'str_length(1, None)' in 1 rows, such as ''"),
    (tables.INTERACTIONS_FILE, "rating", _changed(float("nan")), "a finite number, or missing"),
    (
        tables.INTERACTIONS_FILE,
        "timestamp",
        lambda name: (2 * T0_MS - pl.col(name)).alias(name),
        "'rows ascend by user_id, timestamp'",
    ),
    (tables.ITEMS_FILE, "item_id", _numbered, "rows ascend by item_id and no key is there twice"),
    (tables.QUARANTINE_FILE, "reason", lambda name: pl.lit("because").alias(name), "because"),
    (tables.CATALOGUE_FILE, "item", _numbered, "'the number of the row', such as 2"),
    (tables.USERS_FILE, "user_id", _numbered, "'no value twice': 'u1"),
    (tables.TRAIN_FILE, "items", lambda name: (pl.col(name) + 1).list.eval(pl.element()), "items from 0 to 11"),
    (tables.TRAIN_FILE, "timestamps", lambda name: pl.col(name).list.reverse(), "oldest event first"),
    (tables.HISTORIES_FILE, "events", _longer, "as many as items"),
    (tables.HISTORIES_FILE, "user", _numbered, "rows ascend by user and no key is there twice"),
    (tables.TEST_FILE, "target", _changed(12), "'a number from 0 to 11' in 1 rows, such as 12"),
    (tables.VALID_FILE, "history_length", _changed(0), "greater_than_or_equal_to(1)"),
]


@pytest.mark.parametrize(("file", "column", "change", "words"), BREACHES, ids=lambda value: getattr(value, "name", ""))
def test_a_breach_names_file_column_rule_and_examples(artifacts, tmp_path, file, column, change, words, monkeypatch):
    monkeypatch.setattr(contract, "_BLOCK_ROWS", 3)  # the breach is across blocks, too
    of_ingest = file in (tables.INTERACTIONS_FILE, tables.ITEMS_FILE, tables.QUARANTINE_FILE)
    folder = artifacts[0 if of_ingest else 1]
    frame = pl.read_parquet(file.path(folder)).with_columns(change(column))
    pq.write_table(frame.to_arrow().cast(file.schema), file.path(tmp_path))
    contracts = contract.ingest_contracts() if of_ingest else contract.prepare_contracts(20, 12)
    (one,) = (one for one in contracts if one.file is file)
    with pytest.raises(DataError) as raised:
        contract.check(one, tmp_path)
    assert str(raised.value).startswith(file.name)
    assert f"column {column} " in str(raised.value)
    assert words in str(raised.value)


def test_a_missing_column_one_of_another_type_and_nulls_are_named(artifacts, tmp_path):
    file = tables.ITEMS_FILE
    frame = pl.read_parquet(file.path(artifacts[0]))
    (one,) = (one for one in contract.ingest_contracts() if one.file is file)
    for changed, words in (
        (frame.drop("brand"), "'brand' not in dataframe"),
        (frame.with_columns(brand=pl.lit(3)), "column 'brand' to have type String, got Int32"),
        (frame.with_columns(brand=pl.lit(None, pl.String)), "column brand holds 12 nulls"),
    ):
        changed.write_parquet(file.path(tmp_path))
        with pytest.raises(DataError, match=words):
            contract.check(one, tmp_path)
