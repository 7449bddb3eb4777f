"""What RL made of recipes: figures of lists with known answers, and paired changes."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from genrec import tables
from genrec.list_metrics import ListMetrics
from genrec.measure.gains import FIGURES, gains, values_of
from genrec.measure.recipes import compare_recipes
from tests.support.evaluate_tiny import write_prepared
from tests.support.recipes_tiny import write_run
from tests.support.targets import write_targets

CATEGORIES = [["tool", "drill"], ["tool", "drill"], ["tool", "saw"], ["rake"], []]
CATALOGUE = pa.table({"train_count": [9, 5, 6, 0, 7], "categories": pa.array(CATEGORIES, pa.list_(pa.string()))})


def predictions(lists: list[list[int]], targets: list[int]) -> pa.Table:
    ranks = [items.index(t) if t in items else -1 for items, t in zip(lists, targets, strict=True)]
    return pa.table({"rank": pa.array(ranks, pa.int32()), "items": pa.array(lists, pa.list_(pa.int32()))})


def test_the_figures_of_known_lists(tmp_path):
    targets = [2, 4, 1]
    write_targets(tmp_path, test=[(0, [0, 2], 2), (1, [1], 4), (2, [3, 0], 1)])
    test = tables.TEST_FILE.read(tmp_path)
    events = pa.array(["purchase", "click", "purchase"])
    tables.TEST_FILE.write(test.set_column(3, "target_event", events), tmp_path)
    listed = predictions([[2, 1, 0], [3, 4], [0, 2, 1]], targets)
    with_seen = predictions([[0, 2, 1], [1, 4], [3, 0, 1]], targets)
    found = values_of(listed, with_seen, tmp_path, ListMetrics(CATALOGUE, 2, 0.2))
    assert list(found) == list(FIGURES)
    assert found["hr"].tolist() == [1, 1, 0]  # the third target is third
    assert found["ndcg"].tolist() == pytest.approx([1, 1 / np.log2(3), 0])
    assert found["categories"].tolist() == [2, 1, 2]  # saw and drill; rake and nothing; drill and saw
    assert found["new_items"].tolist() == [1, 1, 0]  # items 1 and 3
    assert found["purchases"].tolist() == [1, 0, 0]
    assert found["repeats"].tolist() == [1, 1, 2]  # item 2 of the first user was taken again
    none = CATALOGUE.set_column(1, "categories", pa.array([[]] * 5, pa.list_(pa.string())))
    write_targets(tmp_path, test=[(0, [0, 2], 2), (1, [1], 4), (2, [3, 0], 1)])
    unknown = values_of(listed, with_seen, tmp_path, ListMetrics(none, 2, 0.2))
    assert unknown.keys() == FIGURES.keys() - {"categories", "purchases"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The comparison of recipe a, three seeds of which RL helps, and of b, whose RL returned the fine-tuned model."""
    root = tmp_path_factory.mktemp("gains")
    world = partial(write_run, root, write_prepared(root / "prepare-0"))
    runs = [world("a", seed, sft=0.5, rl=0.9, itemcf=0.3) for seed in range(3)]
    same = world("b", 0, unchanged=True, sft=0.4, itemcf=0.3)
    for run in (*runs, same):
        run["config"]["reported"] = {"rl_over_sft": 0.14, "sft_over_itemcf": None}
        run["config"]["rl"]["rewards"] = [{"name": "exact_hit"}, {"name": "category_diversity"}]
    return runs, same


def test_before_and_after_are_means_over_the_seeds_with_the_interval_of_the_comparison(made):
    runs, _ = made
    (gain,) = gains({"a": runs}, Path)
    comparison = compare_recipes(runs, Path)
    for metric in ("hr", "ndcg"):
        figure = gain["figures"][metric]
        rows = {row["label"]: row["metrics"][f"{metric}@5"]["mean"] for row in comparison["rows"]}
        assert (figure["before"], figure["after"]) == pytest.approx((rows["a before RL"], rows["a after RL"]), abs=2e-6)
        pair = next(
            c
            for c in comparison["comparisons"]
            if (c["row"], c["against"], c["metric"]) == ("a after RL", "a before RL", f"{metric}@5")
        )
        assert figure["difference"] == pytest.approx(pair["difference"], abs=2e-6)
        assert figure["relative"] == pytest.approx(pair["relative"], abs=2e-6)
    assert gain["figures"]["hr"]["ci"][0] > 0
    assert comparison["gains"] == [gain]
    assert "reported.rl_over_sft" not in comparison["differing"]


def test_what_a_reward_pays_for_is_marked_and_what_others_report_stands_beside(made):
    runs, same = made
    first, second = gains({"a": runs, "b": [same]}, Path)
    assert {name for name, figure in first["figures"].items() if figure["paid_for"]} == {"hr", "categories"}
    assert first["reported"]["rl_over_sft"] == 0.14
    assert not first["unchanged"]
    assert second["unchanged"]
    assert all(f["difference"] == 0 and f["ci"] == [0, 0] for f in second["figures"].values())
    hits = {model: np.mean([run["metrics"][model]["hr@5"] for run in runs]) for model in ("sft", "itemcf")}
    assert first["sft_over_itemcf"] == pytest.approx(hits["sft"] / hits["itemcf"] - 1, abs=1e-5)


def test_a_recipe_without_rl_has_no_gain(made):
    _, same = made
    alone = same | {"metrics": {name: same["metrics"][name] for name in ("sft", "itemcf")}}
    assert gains({"b": [alone]}, Path) == []


def test_means_over_the_rows_are_those_of_the_lists(tmp_path):
    write_targets(tmp_path, test=[(0, [0], 2), (1, [1], 4)])
    lists, listed = ListMetrics(CATALOGUE, 2, 0.2), predictions([[2, 1], [3]], [2, 4])
    values = values_of(listed, listed, tmp_path, lists)
    figures = lists(np.array([[2, 1], [3, -1]], np.int32))
    assert values["categories"].mean() == figures["categories@2"] == 1.5
    assert values["new_items"].mean() == figures["new_items@2"] == 1.0
