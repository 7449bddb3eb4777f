"""Facts on the quality of data: known answers."""

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from genrec import tables
from genrec.config import PrepareConfig
from genrec.data.quality import _distribution, of_ingest, of_prepare, time_range
from tests.support.data_samples import T0_MS, run_prepare, write_ingested

EVENTS = [(f"u{u}", f"i{i}", T0_MS + 10 * i + u) for u in range(6) for i in range(u + 2)]
EVENTS += [("u0", "i0", T0_MS + 999), ("lonely", "i0", T0_MS + 1), ("other", "rare", T0_MS + 2)]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """Purchases, but of `other` alone a click, and a bad rating of u5's event with i6."""
    folder = write_ingested(tmp_path_factory.mktemp("quality") / "ingest", EVENTS)
    frame = pl.read_parquet(tables.INTERACTIONS_FILE.path(folder)).with_columns(
        event=pl.when(pl.col("user_id") == "other").then(pl.lit("click")).otherwise("event"),
        rating=pl.when((pl.col("user_id") == "u5") & (pl.col("item_id") == "i6")).then(1.0).cast(pl.Float32),
    )
    tables.INTERACTIONS_FILE.write(frame.to_arrow(), folder)
    return folder


def read(frame):
    return {"users": frame["user_id"].n_unique(), "items": frame["item_id"].n_unique(), "interactions": len(frame)}


def test_users_items_and_interactions_are_counted_behind_each_filter(ingested, tmp_path):
    config = PrepareConfig(k_core=2, events=["purchase"], min_rating=3)
    summary = run_prepare(ingested, config, tmp_path)
    frame = pl.read_parquet(tables.INTERACTIONS_FILE.path(ingested))
    facts = of_prepare(ingested, tmp_path / "prepared", read(frame), summary, config.model_dump())
    bought = frame.filter(pl.col("event") == "purchase")
    rated = bought.filter(pl.col("rating").is_null())
    distinct = rated.unique(["user_id", "item_id"])
    expected = [("read", frame), ("event", bought), ("rating", rated), ("repeat", distinct)]
    assert facts["filters"][:4] == [{"filter": name, **read(left)} for name, left in expected]
    last = {name: summary[name] for name in ("users", "items", "interactions")}
    assert facts["filters"][4:] == [{"filter": "k_core", **last}]
    assert facts["sparsity"] == 1 - summary["interactions"] / (summary["users"] * summary["items"])
    assert facts["share_without_text"] == 1.0


def test_a_user_and_an_item_with_repeats_say_nothing_of_sparsity(tmp_path):
    folder = write_ingested(tmp_path / "ingest", [("u", f"i{n % 2}", T0_MS + n) for n in range(9)])
    config = PrepareConfig(k_core=1, dedupe="none")
    summary = run_prepare(folder, config, tmp_path)
    counted = {"users": 1, "items": 2, "interactions": 9}
    assert of_prepare(folder, tmp_path / "prepared", counted, summary, config.model_dump())["sparsity"] is None


def test_steps_whose_users_are_not_known_say_nothing_and_the_last_is_what_came_out(ingested, tmp_path):
    config = PrepareConfig(k_core=2, k_core_on="training")
    summary = run_prepare(ingested, config, tmp_path)
    summary["dropped"] |= {"k_core": 3, "item_not_in_training": 2}
    steps = of_prepare(ingested, tmp_path / "prepared", {"interactions": 9}, summary, config.model_dump())["filters"]
    assert [step["filter"] for step in steps] == ["read", "repeat", "k_core", "item_not_in_training"]
    assert (steps[2]["users"], steps[2]["items"]) == (None, None)
    assert steps[-1]["users"] == summary["users"]


def test_the_time_range_is_that_of_the_events(ingested, tmp_path):
    assert time_range(ingested) == (T0_MS, T0_MS + 999)
    table = pq.read_table(tables.INTERACTIONS_FILE.path(ingested))
    pq.write_table(table, tables.INTERACTIONS_FILE.path(tmp_path), write_statistics=False)
    assert time_range(tmp_path) == (T0_MS, T0_MS + 999)
    facts = of_ingest(ingested, {"interactions": 5, "timestamps": "clock"})
    assert facts == {"time": {"kind": "clock", "first": T0_MS, "last": T0_MS + 999}}


def test_bins_double_and_hold_every_value_once():
    values = np.array([0, 0, 1, 2, 3, 3, 4, 7, 8, 1000])
    found = _distribution(values)
    assert found["histogram"][:5] == [
        {"from": 0, "to": 0, "count": 2},
        {"from": 1, "to": 1, "count": 1},
        {"from": 2, "to": 3, "count": 3},
        {"from": 4, "to": 7, "count": 2},
        {"from": 8, "to": 15, "count": 1},
    ]
    assert found["histogram"][-1] == {"from": 512, "to": 1023, "count": 1}
    assert (found["median"], found["max"]) == (3.0, 1000)
    assert _distribution(np.array([5, 6]))["histogram"] == [{"from": 4, "to": 7, "count": 2}]
    assert _distribution(np.array([], dtype=int))["max"] is None
