"""comparison.json and comparison.html."""

import json
from functools import partial
from pathlib import Path

import pytest

from genrec.measure.recipes import compare_recipes
from genrec.report.recipes import in_words, write_comparison
from tests.support.evaluate_tiny import HOSTILE, write_prepared
from tests.support.recipes_tiny import write_run
from tests.unit.report.test_report import Tags


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Writes runs of recipes: `world(name, seed, model=share of hits)`."""
    root = tmp_path_factory.mktemp("recipes")
    return partial(write_run, root, write_prepared(root / "prepare-0"))


@pytest.fixture(scope="module")
def two(world):
    """Recipe a with three seeds, RL helps; recipe b with one, RL does nothing."""
    a = [world("a", seed, sft=0.5, rl=0.9, itemcf=0.3) for seed in range(3)]
    return [*a, world("b", 0, unchanged=True, sft=0.4, itemcf=0.3)]


def test_the_summary_says_what_did_not_pay(two):
    text = in_words(compare_recipes(two, Path))["summary"]
    assert text[0].startswith("a after RL leads: NDCG@5 ")
    assert any(s.startswith("The best baseline is itemcf") for s in text)
    assert any(s.startswith("a: reinforcement learning pays: +") for s in text)
    assert "Reinforcement learning found no better checkpoint in b: rl is the sft model." in text
    assert any("b sft and the best baseline, itemcf" in s and "cannot be told apart" in s for s in text)
    assert any("weights take 25.0 MiB with QLoRA and 100.0 MiB with LoRA: 75% less." in s for s in text)
    assert any(s.startswith("a, SFT to RL: HR@5 0.5") for s in text)
    assert any("Means over 1 to 3 seeds" in s for s in text)


def test_the_files_hold_the_same_and_need_nothing_from_outside(two, world, tmp_path):
    hostile = world(HOSTILE, 0, sft=0.2, rl=0.1, itemcf=0.3)
    made = write_comparison([*two, hostile], tmp_path, Path)
    page = (tmp_path / "comparison.html").read_text()
    assert made["html"] == str(tmp_path / "comparison.html")
    assert json.loads((tmp_path / "comparison.json").read_text()) == {k: v for k, v in made.items() if k != "html"}
    assert Tags(page).open == []
    assert "<script" not in page
    assert page.count("<svg") == 8  # 2 of metrics, 3 of differences, 3 of slices
    for anchor in ("results", "slices", "lists", "gains", "cost", "recipes", "protocol"):
        assert f'id="{anchor}"' in page
    assert page.count("<td>semantic ids 60%, dense head 40%</td>") == 3


def test_runs_that_were_left_out_are_named(two):
    early = {"run_id": "r", "name": "early", "stages": [], "config": {}}
    made = in_words(compare_recipes([early, *two], Path))
    assert made["warnings"] == ["not evaluated and left out: early"]
    assert "left_out" not in made
