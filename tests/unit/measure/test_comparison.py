"""One comparison of ranks by row and seed: means over seeds, two-level intervals, paired differences, pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.measure.comparison import Comparison, best_first, pairs, popularity_slices, rows_of_run
from genrec.metrics import ndcg

COUNTS = np.arange(10)[::-1]


def compared(*rows, num=400, users=None, **more):
    """Rows 0, 1, ... of seeds of ranks."""
    ranks = {i: [np.asarray(seed, dtype=np.int32) for seed in seeds] for i, seeds in enumerate(rows)}
    users = np.arange(len(rows[0][0])) if users is None else np.asarray(users)
    return Comparison(ranks, users, [10], num_bootstrap=num, confidence=0.95, **more)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 12), min_size=5, max_size=5), min_size=1, max_size=3))
def test_a_mean_over_seeds_is_the_mean_of_the_seeds_figures(seeds):
    figure = compared(seeds, num=20).figure(0, "ndcg@10")
    by_seed = [ndcg(np.array(s), 10).mean() for s in seeds]
    assert figure["by_seed"] == pytest.approx(by_seed, abs=1e-6)
    assert figure["mean"] == pytest.approx(np.mean(by_seed), abs=1e-6)
    assert figure["ci"][0] <= figure["ci"][1]


def test_an_interval_covers_the_spread_of_seeds_too():
    generator = np.random.default_rng(0)
    alike = [np.where(generator.random(400) < 0.5, 0, -1) for _ in range(3)]
    apart = [np.where(generator.random(400) < share, 0, -1) for share in (0.2, 0.5, 0.8)]
    measured = compared(alike, apart)
    widths = [np.ptp(measured.figure(row, "hr@10")["ci"]) for row in (0, 1)]
    assert widths[1] > 3 * widths[0]


def test_a_steady_gain_is_certain_although_users_differ_much():
    base = np.where(np.random.default_rng(0).random(300) < 0.3, 3, -1)
    measured = compared([np.where(base == 3, 0, base)], [base])
    difference = measured.difference(0, 1, "ndcg@10")
    assert difference["ci"][0] > 0
    assert difference["share_in_favour"] == 1.0
    assert difference["relative"] == pytest.approx(np.log2(5) - 1, abs=1e-6)
    assert np.ptp(difference["ci"]) < np.ptp(measured.figure(0, "ndcg@10")["ci"])


def test_rows_with_the_same_figures_differ_by_exactly_zero():
    seeds = [[0, -1, 2], [1, 5, -1]]
    difference = compared(seeds, seeds).difference(0, 1, "hr@10")
    assert (difference["difference"], difference["ci"], difference["share_in_favour"]) == (0, [0, 0], 0.5)


def test_nothing_is_relative_to_a_row_without_a_hit():
    assert compared([[0, 1]], [[-1, -1]]).difference(0, 1, "hr@10")["relative"] is None


def test_slices_are_by_the_popularity_of_the_target():
    targets = np.array([0, 0, 5, 9])  # item 0 is head, 5 tail, 9 cold (count 0)
    slices = popularity_slices(COUNTS, targets, 0.2)
    assert list(slices) == ["head", "tail", "cold"]
    measured = compared([[0, -1, 0, -1]], slices=slices)
    assert [measured.figure(0, "hr@10", s)["mean"] for s in ("", *slices)] == [0.5, 0.5, 1.0, 0.0]
    assert list(popularity_slices(COUNTS, targets[:2], 0.2)) == ["head"]


def test_rows_of_a_user_are_drawn_together():
    low, high = compared([[0, 0, 0, -1]], users=[0, 0, 0, 1]).figure(0, "hr@10")["ci"]
    assert {low, high} <= {0.0, 0.75, 1.0}


def test_an_interval_does_not_depend_on_what_else_is_in_the_table():
    one, other = [[0, -1, 3, 2, -1, 0]], [[5, -1, -1, 0, 1, 2]]
    alone, together = compared(one), compared(one, other, slices={"half": np.arange(6) < 3})
    assert alone.figure(0, "ndcg@10") == together.figure(0, "ndcg@10")


def test_a_run_compares_each_trained_model_with_its_start_and_every_baseline():
    rows = rows_of_run(["sft", "rl", "popularity", "itemcf"], "run")
    assert [row.label for row in rows if row.final] == ["rl", "popularity", "itemcf"]
    assert [(one.label, other.label) for one, other in pairs(rows)] == [
        ("rl", "sft"),
        *[(model, baseline) for model in ("sft", "rl") for baseline in ("popularity", "itemcf")],
    ]


def test_a_part_of_a_score_is_neither_compared_nor_a_baseline_nor_last():
    models = ["sft", "sft_ids", "sft_dense", "sft_transitions", "rl", "rl_ids", "popularity", "itemcf"]
    rows = rows_of_run(models, "run")
    assert {row.model: row.part_of for row in rows if row.part_of} == {
        "sft_ids": "sft", "sft_dense": "sft", "sft_transitions": "sft", "rl_ids": "rl"
    }  # fmt: skip
    assert all(row.recipe == "run" and not row.final for row in rows if row.part_of)
    assert pairs(rows) == pairs(rows_of_run(["sft", "rl", "popularity", "itemcf"], "run"))


@given(st.permutations(["sft", "sft_ids", "sft_dense", "rl", "rl_ids", "itemcf"]))
def test_the_parts_of_a_score_stand_behind_it_whatever_their_figures(order):
    rows = rows_of_run(["sft", "sft_ids", "sft_dense", "rl", "rl_ids", "itemcf"], "run")
    found = [row.model for row in best_first({row: order.index(row.model) for row in rows})]
    whole = sorted(("sft", "rl", "itemcf"), key=order.index, reverse=True)
    parts = {"sft": ["sft_ids", "sft_dense"], "rl": ["rl_ids"]}
    assert found == [model for owner in whole for model in (owner, *parts.get(owner, []))]


def test_recipes_meet_in_their_last_models():
    rows = [row for name in "ab" for row in rows_of_run(["sft", "rl"], name, {m: f"{name} {m}" for m in ("sft", "rl")})]
    found = {(one.label, other.label) for one, other in pairs(rows)}
    assert found == {("a rl", "a sft"), ("b rl", "b sft"), ("a rl", "b rl")}


def test_a_ranking_meets_the_models_it_began_with_and_every_baseline_but_no_other_recipe():
    rows = rows_of_run(["sft", "rl", "rank", "rerank", "popularity"], "run")
    found = {(one.label, other.label) for one, other in pairs(rows)}
    began = {("rl", "sft"), ("rank", "sft"), ("rank", "rl"), ("rerank", "sft"), ("rerank", "rl"), ("rerank", "rank")}
    assert found == began | {(one, "popularity") for one in ("sft", "rl", "rank", "rerank")}
    assert [row.label for row in rows if row.final] == ["rl", "popularity"]
    several = [*rows_of_run(["rl", "rank"], "one"), *rows_of_run(["rl", "rank"], "other")]
    crossed = {(one.model, other.model) for one, other in pairs(several) if one.recipe != other.recipe}
    assert crossed == {("rl", "rl")}
