"""The built-in shop: same seed, same bytes; structure that a sequence model can find; malformed rows as announced."""

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from genrec.config import DataConfig, PrepareConfig
from genrec.data.shop.assortment import max_items
from genrec.data.shop.files import MALFORMED_METADATA, MALFORMED_REVIEWS, METADATA, REVIEWS, open_shop, write_shop
from tests.support.data_samples import run_ingest, run_prepare
from tests.support.planted import planted_structure

SIZE: dict[str, Any] = {"num_users": 2000, "num_items": 800, "mean_events": 9.5, "seed": 3}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, dict]:
    folder = tmp_path_factory.mktemp("shop")
    ingested = run_ingest(DataConfig(options=SIZE), folder)
    return folder, ingested, run_prepare(folder / "ingest", PrepareConfig(), folder)


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    size: dict[str, Any] = {"num_users": 50, "num_items": 40, "mean_events": 6.0, "malformed_share": 0.01}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        write_shop(tmp_path / name, **size, seed=seed)
    for file in (REVIEWS, METADATA):
        first, again, other = ((tmp_path / name / file).read_bytes() for name in "abc")
        assert first == again != other


def test_popularity_loses_to_itemcf_and_itemcf_to_transitions(shop: tuple[Path, dict, dict]) -> None:
    hit_rate = planted_structure(shop[0] / "prepared")
    assert 0.02 < hit_rate["popularity"] < 0.1
    assert hit_rate["itemcf"] > 2 * hit_rate["popularity"]
    assert hit_rate["transitions"] > 1.3 * hit_rate["itemcf"]


def test_who_knows_the_rules_hits_much_more_often_than_any_of_them(shop: tuple[Path, dict, dict]) -> None:
    _, visits, _ = open_shop(**SIZE)
    last = np.flatnonzero(np.diff(visits.user, append=-1))
    oracle = float((visits.oracle_rank[last] < 10).mean())
    assert oracle > planted_structure(shop[0] / "prepared")["transitions"] + 0.1


def test_every_kind_of_malformed_row_is_quarantined_under_its_reason(shop: tuple[Path, dict, dict]) -> None:
    folder, ingested, _ = shop
    lines = {file: gzip.decompress((folder / "raw" / file).read_bytes()).count(b"\n") for file in (REVIEWS, METADATA)}
    expected: Counter = Counter()
    for file, kinds in ((REVIEWS, MALFORMED_REVIEWS), (METADATA, MALFORMED_METADATA)):
        good = ingested["interactions"] if file == REVIEWS else ingested["catalogue_items"]
        for turn in range(lines[file] - good):
            expected[kinds[turn % len(kinds)][0]] += 1
    assert ingested["quarantined"] == dict(expected)
    assert 0.004 < sum(expected.values()) / sum(lines.values()) < 0.006


def test_the_default_size_suits_a_small_model(shop: tuple[Path, dict, dict]) -> None:
    _, ingested, prepared = shop
    assert set(ingested["events"]) == {"click", "purchase"}
    assert ingested["items_without_text"] == 0
    assert 8 <= prepared["mean_events"] <= 10.5
    assert prepared["items"] > 0.95 * SIZE["num_items"]
    assert prepared["dropped"]["k_core"] > 0  # a few customers come once or twice


def test_nobody_takes_an_item_twice_or_before_it_is_launched() -> None:
    goods, visits, _ = open_shop(**{**SIZE, "num_users": 300})
    pairs = visits.user * len(goods.category) + visits.item
    assert len(np.unique(pairs)) == len(pairs)
    assert (visits.day >= goods.launch_day[visits.item]).all()
    assert (np.diff(visits.day)[np.diff(visits.user) == 0] > 0).all()
    for chance in (goods.follows, goods.refills):
        assert (np.diag(chance) == 0).all()
        assert chance.max() > 0


def test_needs_are_directed() -> None:
    goods, _, _ = open_shop(**{**SIZE, "num_users": 1})
    forward = goods.follows > 0
    assert (forward & ~forward.T).sum() > 0.7 * forward.sum()


def test_texts_tell_brand_series_category_and_style_apart(shop: tuple[Path, dict, dict]) -> None:
    items = pl.read_parquet(shop[0] / "ingest/items.parquet")
    with gzip.open(shop[0] / "raw" / METADATA) as file:
        first = orjson.loads(file.readline())
    row = items.filter(pl.col("item_id") == first["parent_asin"]).to_dicts()[0]
    assert row["title"].startswith(first["store"] + " " + first["details"]["Series"])
    assert row["categories"] == first["categories"]
    assert items["title"].n_unique() > 0.9 * items.height
    assert max_items() == 1728
