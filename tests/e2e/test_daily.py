"""Retraining day by day: new files are read, what is known is kept, the better model is in service."""

import json
import random
from pathlib import Path

import pytest

from genrec.in_service.registry import Registry
from genrec.store.local import Store
from genrec.tables import read_sids, read_table
from tests.e2e.conftest import run_flow, tiny_config
from tests.support.shop_files import WORDS, write_items, write_purchases

NUM_USERS, NUM_ITEMS = 60, 60
KEEP = ("service.keep=[vectors, ids, weights]", "service.promote=if_not_worse", "service.max_loss=1.0")


def _write_day(shop: Path, day: int) -> None:
    """The shop's files of one day: every user buys four items; later days have two items that were not there before."""
    draw = random.Random(day)
    items = range(NUM_ITEMS) if day == 0 else range(NUM_ITEMS + 2 * day - 2, NUM_ITEMS + 2 * day)
    write_items(shop / f"items-{day}.csv", {i: " ".join(draw.choices(WORDS, k=5)) for i in items})
    known = [[(user + 7 * day + k) % NUM_ITEMS for k in range(4)] for user in range(NUM_USERS)]
    write_purchases(shop / f"interactions-{day}.csv", [[*old, *(items if day else ())] for old in known], day)


def _config(root: Path, *more: str):
    small = ("embed.options.dim=4", "sid.num_codes=16", "sft.epochs=1", "rl.num_steps=1", "prepare.k_core=3")
    return tiny_config(root / "store", f"data.path={root / 'shop'}", *small, *more, base="table.yaml")


def _status(report):
    return {s["name"]: s["status"] for s in report["stages"]}


def _ids(store: Store, keys: dict[str, str]) -> dict[str, tuple]:
    items = read_table(store.object_path(keys["prepare"]) / "catalogue.parquet")["item_id"].to_pylist()
    return dict(zip(items, map(tuple, read_sids(store.object_path(keys["sid"])).tolist()), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("prefect_server", "ray_cluster")
def test_daily_runs_keep_what_is_known_and_put_the_better_model_in_service(tmp_path):
    store = Store(tmp_path / "store")
    _write_day(tmp_path / "shop", 0)
    first = run_flow(_config(tmp_path, *KEEP), "monday")
    name = first["name"]
    registry = Registry(store, name)
    assert first["promotion"] == {**first["promotion"], "promoted": True, "why": "no model was in service"}
    monday = registry.current()

    # A night without new files: everything is there, and the model stays.
    again = run_flow(_config(tmp_path, *KEEP), "monday-night")
    assert set(_status(again).values()) == {"cached"}
    assert again["promotion"]["why"] == "this model is in service already"
    assert len(registry.history()) == 1

    # A new file in the folder: two new items, of which alone the text is encoded.
    _write_day(tmp_path / "shop", 1)
    second = run_flow(_config(tmp_path, *KEEP), "tuesday")
    assert set(_status(second).values()) == {"computed"}
    keys = {s["name"]: s["key"] for s in second["stages"]}
    embedded, given = (store.lookup(keys[n]).summary for n in ("embed", "sid"))
    assert (embedded["num_encoded"], embedded["taken_over"]) == (2, True)
    assert (given["ids"], given["num_new"]) == ("kept", 2)
    before, after = _ids(store, monday.keys), _ids(store, keys)
    assert {i: after[i] for i in before} == before
    assert set(after) - set(before) == {"i60", "i61"}
    assert second["training"]["sft"]["warm_share"] > 0.9
    assert second["promotion"]["promoted"]
    assert second["promotion"]["rows"] == NUM_USERS
    assert registry.current().run_id == "tuesday"
    assert any("In service from now on: NDCG@10" in line for line in second["verdict"])

    # Going back, and a run that learned next to nothing: the interval of its loss decides, and the report says so.
    assert registry.roll_back().keys == monday.keys
    _write_day(tmp_path / "shop", 2)
    more = ("service.promote=if_not_worse", "sft.learning_rate=1e-9", "seed=5", "service.recommend=true")
    third = run_flow(_config(tmp_path, *more), "wednesday")
    figures = third["promotion"]
    assert figures["promoted"] == figures["good_enough"] == (figures["ci"][1] >= 0)
    assert figures["test"]["rows"] == figures["rows"] == NUM_USERS
    stays = "wednesday" if figures["promoted"] else "monday"
    assert figures["in_service"] == stays
    assert registry.current().run_id == stays
    assert json.loads((store.root / "service" / name / "current.json").read_text())["run_id"] == stays

    # The lists for every customer are made by the model that is in service then, from the newest events.
    lists = third["recommendations"]
    assert (lists["model"], lists["events_of"], lists["users"]) == (stays, "wednesday", NUM_USERS)
    assert (lists["skipped_events"] > 0) == (stays == "monday"), "monday does not know the items of the days after"
