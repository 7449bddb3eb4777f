"""Recipes side by side, from the reports of their runs."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from genrec.errors import DataError
from genrec.measure.recipes import compare_recipes
from tests.support.evaluate_tiny import NUM_USERS, write_prepared
from tests.support.recipes_tiny import write_run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Writes runs of recipes: `world(name, seed, model=share of hits)`."""
    root = tmp_path_factory.mktemp("recipes")
    return partial(write_run, root, write_prepared(root / "prepare-0"))


@pytest.fixture(scope="module")
def two(world):
    """Recipe a with three seeds, RL helps; recipe b with one, RL does nothing."""
    a = [world("a", seed, sft=0.5, rl=0.9, itemcf=0.3) for seed in range(3)]
    return [*a, world("b", 0, sft=0.4, rl=0.4, itemcf=0.3)]


def test_an_rl_model_that_is_the_sft_model_has_no_row_unless_another_seed_has_one(world):
    figures = {"sft": 0.5, "sft_ids": 0.4, "itemcf": 0.3}
    same = [world("same", seed, unchanged=True, **figures) for seed in range(2)]
    mixed = [world("mixed", 0, rl=0.9, **figures), world("mixed", 1, unchanged=True, **figures)]
    made = compare_recipes([*same, *mixed], Path)
    labels = [row["label"] for row in made["rows"]]
    assert labels == [
        "mixed after RL", "same sft", "same sft_ids", "mixed before RL", "mixed sft_ids", "itemcf"
    ]  # fmt: skip
    assert made["unchanged"] == {"same": True}
    after = made["rows"][0]["metrics"]["hr@5"]["by_seed"]
    assert after[0] > after[1] == made["rows"][3]["metrics"]["hr@5"]["by_seed"][1]
    compared = {(pair["row"], pair["against"]) for pair in made["comparisons"]}
    assert ("mixed after RL", "mixed before RL") in compared
    assert not any("sft_ids" in label for pair in compared for label in pair)
    assert made["rows"][2]["part_of"] == "sft"


def test_every_recipe_stands_before_and_after_rl_and_a_common_baseline_once(two):
    made = compare_recipes(two, Path)
    labels = [r["label"] for r in made["rows"]]
    assert labels[0] == "a after RL"
    assert {"a before RL", "b before RL", "b after RL"} < set(labels)
    assert [r["seeds"] for r in made["rows"] if r["recipe"] == "a"] == [[0, 1, 2]] * 2
    figures = [r["metrics"]["ndcg@5"]["mean"] for r in made["rows"]]
    assert figures == sorted(figures, reverse=True)
    by_seed = made["rows"][0]["metrics"]["hr@5"]["by_seed"]
    assert len(by_seed) == 3
    assert made["rows"][0]["metrics"]["hr@5"]["mean"] == pytest.approx(np.mean(by_seed), abs=1e-6)


def test_every_trained_row_meets_every_baseline_and_rl_its_own_start(two):
    made = compare_recipes(two, Path)
    pairs = {(c["row"], c["against"]) for c in made["comparisons"]}
    baselines = {r["label"] for r in made["rows"] if r["recipe"] is None}
    trained = {r["label"] for r in made["rows"] if r["recipe"] is not None}
    assert {(row, baseline) for row in trained for baseline in baselines} < pairs
    assert {("a after RL", "a before RL"), ("b after RL", "b before RL"), ("a after RL", "b after RL")} < pairs


def test_cost_is_that_of_all_training_behind_a_model(two):
    rows = {r["label"]: r for r in compare_recipes(two, Path)["rows"]}
    assert rows["a before RL"]["cost"]["train_seconds"] == 30
    assert rows["a after RL"]["cost"]["train_seconds"] == 42
    assert rows["b after RL"]["cost"]["lists_per_s"] == pytest.approx(2 * NUM_USERS / 0.5)
    baseline = next(r for r in rows.values() if r["recipe"] is None)
    assert baseline["cost"] == {"train_seconds": 0.1, "lists_per_s": 100.0}


def test_settings_that_differ_are_named_and_a_seed_is_none(two):
    made = compare_recipes(two, Path)
    assert made["differing"] == ["sft.adapter"]
    assert [r["settings"] for r in made["recipes"]] == [{"sft.adapter": "lora"}, {"sft.adapter": "qlora"}]


def test_runs_under_other_protocols_are_refused(two):
    other = json.loads(json.dumps(two[3]))
    other["protocol"]["seen_items"] = "keep"
    with pytest.raises(DataError, match=r"differ in seen_items \(a: drop, b: keep\)"):
        compare_recipes([*two[:3], other], Path)


def test_runs_without_evaluation_are_left_out_by_name(two):
    early = {"run_id": "r", "name": "early", "stages": [], "config": {}}
    assert compare_recipes([early, *two], Path)["left_out"] == ["early"]
    with pytest.raises(DataError, match="none of the runs"):
        compare_recipes([early], Path)


def test_other_test_rows_are_refused(two, tmp_path):
    other = write_run(tmp_path, write_prepared(tmp_path / "prepare-1", seed=1), "b", 0, sft=0.4, rl=0.4, itemcf=0.3)
    with pytest.raises(DataError, match="tested on different users or items"):
        compare_recipes([*two[:3], other], Path)


def test_a_comparison_of_one_run_has_the_figures_and_intervals_of_its_report(world):
    report = world("one", 0, sft=0.5, rl=0.9, itemcf=0.3)
    report["config"]["evaluate"]["num_bootstrap"] = 50
    made = compare_recipes([report], Path)
    for row in made["rows"]:
        entry = report["metrics"][row["model"]]
        for name, figure in row["metrics"].items():
            assert (figure["mean"], figure["ci"]) == (entry[name], entry[f"{name}_ci"])
    of_report = {(c["model"], c["against"], c["metric"]): c["ci"] for c in report["comparisons"]}
    model_of = {row["label"]: row["model"] for row in made["rows"]}
    of_comparison = {(model_of[c["row"]], model_of[c["against"]], c["metric"]): c["ci"] for c in made["comparisons"]}
    assert of_comparison == of_report
