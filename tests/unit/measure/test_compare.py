"""Comparisons of runs: means over seeds, two-level intervals, paired differences, and words that say what did not pay."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.config import Config
from genrec.errors import DataError
from genrec.measure.compare import compare_reports, write_comparison
from genrec.measure.compare_stats import Ranks, difference, figure, resampled, same_rows
from genrec.measure.evaluation import merge
from genrec.measure.predictions import read_test, write_counts, write_part
from genrec.metrics import ndcg
from genrec.report import compare_words
from genrec.report.collect import collect
from tests.support.evaluate_tiny import CONFIG, HOSTILE, NUM_ITEMS, NUM_USERS, write_prepared
from tests.unit.report.test_report import Tags

COUNTS = np.arange(10)[::-1]


def ranks_of(values, users=None, targets=None):
    values = np.asarray(values, dtype=np.int32)
    users = np.arange(len(values), dtype=np.int32) if users is None else users
    return Ranks(users, np.zeros(len(values), dtype=np.int32) if targets is None else targets, values)


def sampled(rows, num=400, seed=0, k=10):
    return resampled(rows, COUNTS, k=k, head_share=0.2, num=num, seed=seed)


# ---- statistics -------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 12), min_size=5, max_size=5), min_size=1, max_size=3))
def test_a_mean_over_seeds_is_the_mean_of_the_seeds_figures(seeds):
    found = sampled([[ranks_of(s) for s in seeds]], num=20)[0]["", "ndcg@10"]
    made = figure(*found, 0.95)
    by_seed = [ndcg(np.array(s), 10).mean() for s in seeds]
    assert made["by_seed"] == pytest.approx(by_seed, abs=1e-6)
    assert made["mean"] == pytest.approx(np.mean(by_seed), abs=1e-6)
    assert made["ci"][0] <= made["ci"][1]


def test_an_interval_covers_the_luck_of_a_seed_too():
    generator = np.random.default_rng(0)
    alike = [ranks_of(np.where(generator.random(400) < 0.5, 0, -1)) for _ in range(3)]
    apart = [ranks_of(np.where(generator.random(400) < share, 0, -1)) for share in (0.2, 0.5, 0.8)]
    widths = [np.ptp(figure(*found["", "hr@10"], 0.95)["ci"]) for found in sampled([alike, apart])]
    assert widths[1] > 3 * widths[0]


def test_a_steady_gain_is_certain_although_users_differ_much():
    base = np.where(np.random.default_rng(0).random(300) < 0.3, 3, -1)
    one, other = sampled([[ranks_of(np.where(base == 3, 0, base))], [ranks_of(base)]])
    found = difference(one["", "ndcg@10"], other["", "ndcg@10"], 0.95)
    assert found["ci"][0] > 0
    assert found["share_in_favour"] == 1.0
    separate = [figure(*f["", "ndcg@10"], 0.95)["ci"] for f in (one, other)]
    assert np.ptp(found["ci"]) < np.ptp(separate[0])


def test_rows_with_the_same_figures_differ_by_exactly_zero():
    seeds = [ranks_of([0, -1, 2]), ranks_of([1, 5, -1])]
    one, other = sampled([seeds, seeds])
    found = difference(one["", "hr@10"], other["", "hr@10"], 0.95)
    assert (found["difference"], found["ci"], found["share_in_favour"]) == (0, [0, 0], 0.5)


def test_slices_are_by_the_popularity_of_the_target():
    targets = np.array([0, 0, 5, 9], dtype=np.int32)  # item 0 is head, 5 tail, 9 cold (count 0)
    found = sampled([[ranks_of([0, -1, 0, -1], targets=targets)]])[0]
    assert {s for s, _ in found} == {"", "head", "tail", "cold"}
    assert [found[s, "hr@10"][0][0] for s in ("", "head", "tail", "cold")] == [0.5, 0.5, 1.0, 0.0]


def test_rows_of_a_user_are_drawn_together():
    users = np.array([0, 0, 0, 1], dtype=np.int32)
    found = sampled([[ranks_of([0, 0, 0, -1], users)]], num=200)[0]["", "hr@10"][1]
    assert set(np.round(found, 6)) <= {0.0, 0.75, 1.0}


def test_other_users_or_targets_are_other_rows():
    one = ranks_of([0, 1])
    assert same_rows([one, ranks_of([5, -1])])
    assert not same_rows([one, ranks_of([0, 1], targets=np.array([0, 1], dtype=np.int32))])
    assert not same_rows([one, ranks_of([0])])


# ---- from reports -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Runs of recipes by quality: each model lists the target first for a share of the users."""
    root = tmp_path_factory.mktemp("compare")
    prepared = write_prepared(root / "prepare-0")
    rows = read_test(prepared)

    def made(name, seed=0, **shares):
        folder = root / f"{name}-{seed}".replace("<", "_").replace("/", "_")
        for model, share in shares.items():
            generator = np.random.default_rng(seed)
            items = np.stack([generator.permutation(NUM_ITEMS)[:6] for _ in range(NUM_USERS)]).astype(np.int32)
            for u in range(NUM_USERS):
                rest = [i for i in items[u] if i != rows.targets[u]][:5]
                hit = (u + seed) % NUM_USERS < share * NUM_USERS
                items[u] = [rows.targets[u], *rest] if hit else [*rest, (rows.targets[u] + 1) % NUM_ITEMS]
            for protocol in ("drop", "keep"):
                write_part(
                    folder / "parts", model, protocol, 0, rows, items, -np.sort(items, axis=1).astype(np.float32)
                )
            write_counts(folder / "parts", model, 0, users=NUM_USERS, seconds=0.5, invalid=0)
        summary = merge(folder / "parts", prepared, CONFIG, folder / "evaluate", seed=0)
        config = Config(name="x", seed=seed).model_dump(mode="json") | {"name": name}
        config["sft"]["adapter"] = "qlora" if name == "b" else "lora"
        keys = {"prepare": str(prepared), "evaluate": str(folder / "evaluate")}
        stages = [{"name": n, "key": k, "status": "computed", "seconds": 1.0, "reason": ""} for n, k in keys.items()]
        stages += [
            {"name": n, "key": n, "seconds": 1.0, "computed_seconds": s} for n, s in (("sft", 30.0), ("rl", 12.0))
        ]
        record = {
            "run_id": f"run-{name}-{seed}",
            "config": config,
            "stages": stages,
            "artifacts": {"evaluate": folder / "evaluate"},
            "summaries": {"evaluate": summary},
        }
        report = collect(record)
        weights = 25 * 2**20 if name == "b" else 100 * 2**20
        report["training"] = {"sft": {"trainable_share": 0.25, "weight_bytes": weights}}
        report["baselines"] = {"itemcf": {"fit_seconds": 0.1, "users_per_s": 100.0}}
        return json.loads(json.dumps(report))

    return made


def folder_of(key):
    from pathlib import Path

    return Path(key)


@pytest.fixture(scope="module")
def two(world):
    """Recipe a with three seeds, RL helps; recipe b with one, RL does nothing."""
    a = [world("a", seed, sft=0.5, rl=0.9, itemcf=0.3) for seed in range(3)]
    return [*a, world("b", 0, sft=0.4, rl=0.4, itemcf=0.3)]


def test_every_recipe_stands_before_and_after_rl_and_a_common_baseline_once(two):
    made = compare_reports(two, folder_of)
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
    made = compare_reports(two, folder_of)
    pairs = {(c["row"], c["against"]) for c in made["comparisons"]}
    baselines = {r["label"] for r in made["rows"] if r["recipe"] is None}
    trained = {r["label"] for r in made["rows"] if r["recipe"] is not None}
    assert {(row, baseline) for row in trained for baseline in baselines} < pairs
    assert {("a after RL", "a before RL"), ("b after RL", "b before RL"), ("a after RL", "b after RL")} < pairs


def test_cost_is_that_of_all_training_behind_a_model(two):
    rows = {r["label"]: r for r in compare_reports(two, folder_of)["rows"]}
    assert rows["a before RL"]["cost"]["train_seconds"] == 30
    assert rows["a after RL"]["cost"]["train_seconds"] == 42
    assert rows["b after RL"]["cost"]["lists_per_s"] == pytest.approx(2 * NUM_USERS / 0.5)
    baseline = next(r for r in rows.values() if r["recipe"] is None)
    assert baseline["cost"] == {"train_seconds": 0.1, "lists_per_s": 100.0}


def test_the_summary_says_what_did_not_pay(two):
    text = compare_reports(two, folder_of)["summary"]
    assert text[0].startswith("a after RL leads: NDCG@5 ")
    assert any(s.startswith("The best baseline is itemcf") for s in text)
    assert any(s.startswith("a: reinforcement learning pays: +") for s in text)
    assert any(s.startswith("b: reinforcement learning changed nothing") for s in text)
    assert any("b after RL and the best baseline, itemcf" in s and "cannot be told apart" in s for s in text)
    assert "weights take 25.0 MiB with QLoRA and 100.0 MiB with LoRA: 75% less." in text[-1]
    assert any("Means over 1 to 3 seeds" in s for s in text)


def test_the_files_hold_the_same_and_need_nothing_from_outside(two, world, tmp_path):
    hostile = world(HOSTILE, 0, sft=0.2, rl=0.1, itemcf=0.3)
    made = write_comparison([*two, hostile], tmp_path, folder_of)
    page = (tmp_path / "comparison.html").read_text()
    assert made["html"] == str(tmp_path / "comparison.html")
    assert json.loads((tmp_path / "comparison.json").read_text()) == {k: v for k, v in made.items() if k != "html"}
    assert Tags(page).open == []
    assert "<script" not in page
    assert page.count("<svg") == 4
    for anchor in ("results", "slices", "lists", "cost", "recipes", "protocol"):
        assert f'id="{anchor}"' in page


def test_settings_that_differ_are_named_and_a_seed_is_none(two):
    made = compare_reports(two, folder_of)
    assert made["differing"] == ["sft.adapter"]
    assert [r["settings"] for r in made["recipes"]] == [{"sft.adapter": "lora"}, {"sft.adapter": "qlora"}]


def test_runs_under_other_protocols_are_refused(two):
    other = json.loads(json.dumps(two[3]))
    other["protocol"]["seen_items"] = "keep"
    with pytest.raises(DataError, match=r"differ in seen_items \(a: drop, b: keep\)"):
        compare_reports([*two[:3], other], folder_of)


def test_runs_without_evaluation_are_left_out_by_name(two):
    early = {"run_id": "r", "name": "early", "stages": [], "config": {}}
    assert compare_reports([early, *two], folder_of)["warnings"] == ["not evaluated and left out: early"]
    with pytest.raises(DataError, match="none of the runs"):
        compare_reports([early], folder_of)


@pytest.mark.parametrize(
    ("ci", "expected"),
    [
        ([0.01, 0.03], "reinforcement learning pays"),
        ([-0.01, 0.05], "does not measurably pay here"),
        ([-0.03, -0.01], "harms"),
    ],
)
def test_words_follow_the_interval(ci, expected):
    record = {"difference": sum(ci) / 2, "ci": ci, "relative": 0.1}
    assert expected in compare_words._reinforcement("v9", record, 10, 0.95)
