"""Sentences follow the figures: who leads, whether it is sure, what a decision rests on."""

import pytest

from genrec.report import words
from genrec.report.results import of_run


def _pair(row, against, difference, ci):
    common = {"share_in_favour": 0.9, "relative": difference / 0.1}
    return [{"model": row, "against": against, "metric": f"{m}@10", "difference": difference, "ci": ci, **common} for m in ("hr", "ndcg")]  # fmt: skip


def _results(pairs, more=None, **values):
    """Results of a run with these NDCG@10 by model; HR@10 is twice that."""
    metrics = {}
    for model, value in values.items():
        figures = {"ndcg@10": value, "hr@10": 2 * value}
        cis = {f"{name}_ci": [v - 0.01, v + 0.01] for name, v in figures.items()}
        metrics[model] = figures | cis | {"coverage@10": 0.5}
    protocol = {"headline_k": 10, "confidence": 0.95, "seen_items": "drop", "ks": [10]}
    return of_run({"name": "run", "metrics": metrics, "comparisons": pairs, "protocol": protocol, **(more or {})})


@pytest.mark.parametrize(
    ("gain", "ci", "expected"),
    [
        (0.02, [0.01, 0.03], ["ahead of the best baseline, itemcf, beyond chance: +0.0200 NDCG@10, +20.0%"]),
        (
            0.02,
            [-0.1, 0.1],
            ["sft and the best baseline, itemcf cannot be told apart", "90.0% of the resamples in favour"],
        ),
        (
            -0.02,
            [-0.03, -0.01],
            ["behind the best baseline, itemcf, beyond chance: -0.0200", "95% interval -0.0300 to -0.0100"],
        ),
    ],
)
def test_the_verdict_says_who_is_ahead_and_whether_it_is_sure(gain, ci, expected):
    pairs = [*_pair("sft", "popularity", 0.11 + gain, [0.1, 0.2]), *_pair("sft", "itemcf", gain, ci)]
    text = " ".join(words.sentences(_results(pairs, sft=0.1 + gain, popularity=0.01, itemcf=0.1)))
    assert text.startswith("sft leads: NDCG@10" if gain > 0 else "itemcf leads: NDCG@10")
    for part in expected:
        assert part in text


def test_a_model_is_compared_with_the_one_it_was_trained_from():
    text = words.sentences(_results(_pair("rl", "sft", 0.01, [0.005, 0.02]), sft=0.1, rl=0.11))
    assert "run: reinforcement learning pays: +0.0100" in text[1]
    assert text[-1].startswith("One seed each")


@pytest.mark.parametrize(
    ("steps", "said"), [(60, "found no better checkpoint"), (None, "found no better checkpoint"), (0, "took no step")]
)
def test_a_run_whose_rl_returned_the_sft_model_says_so_in_one_line_and_has_one_model(steps, said):
    more = {"identical": {"rl": "sft"}, "training": {"rl": {"steps": steps}}}
    results = _results(_pair("sft", "itemcf", 0.01, [0.005, 0.02]), more, sft=0.1, rl=0.1, itemcf=0.09)
    assert [row["label"] for row in results["rows"]] == ["sft", "itemcf"]
    told = [
        sentence for sentence in words.sentences(results) if "einforcement learning" in sentence or "rl" in sentence
    ]
    assert told == [f"Reinforcement learning {said}: rl is the sft model."]


def test_recipes_whose_rl_returned_the_sft_model_are_named_where_there_are_several():
    said = words.returned({"v1": True, "v2": False, "v3": True}, 4)
    assert said[0] == "Reinforcement learning found no better checkpoint in v1, v3: rl is the sft model."
    assert said[1] == "Reinforcement learning took no step in v2: rl is the sft model."


def test_the_score_is_told_with_its_shares_and_what_each_part_reaches_alone():
    figures = {"sft": 0.11, "sft_ids": 0.078, "sft_dense": 0.079, "sft_transitions": 0.08, "rl": 0.12, "rl_ids": 0.09}
    shares = {"ids": 0.6, "dense": 0.28, "transitions": 0.12}
    results = _results(_pair("rl", "sft", 0.01, [0, 0.02]), {"score": {"sft": shares, "rl": shares}}, **figures)
    made = "semantic ids 60%, dense head 28%, transition table 12%; alone on test: semantic ids"
    assert words.compositions(results["rows"], 10) == [
        f"Score of sft: {made} 0.0780, dense head 0.0790, transition table 0.0800 NDCG@10.",
        f"Score of rl: {made} 0.0900 NDCG@10.",
    ]
    assert set(words.compositions(results["rows"], 10)) < set(words.sentences(results))
    assert [row["label"] for row in results["rows"]] == [
        "rl",
        "rl_ids",
        "sft",
        "sft_ids",
        "sft_dense",
        "sft_transitions",
    ]
    assert "sft_transitions is sft by its transition table" in words.parts_in_words(results["rows"])


def test_a_score_of_semantic_ids_alone_is_told_so():
    results = _results([], {"score": {"sft": {"ids": 1.0}}}, sft=0.11, itemcf=0.1)
    assert words.compositions(results["rows"], 10) == ["Score of sft: semantic ids 100%."]
    assert words.parts_in_words(results["rows"]) == ""


def test_a_run_of_baselines_says_so():
    assert "baselines only" in words.sentences(_results([], itemcf=0.1, popularity=0.05))[-1]


@pytest.mark.parametrize(
    ("ci", "expected"),
    [
        ([0.01, 0.03], "reinforcement learning pays"),
        ([-0.01, 0.05], "does not measurably pay here"),
        ([-0.03, -0.01], "harms"),
        ([0, 0], "does not measurably pay here"),
    ],
)
def test_what_reinforcement_learning_did_follows_the_interval(ci, expected):
    pair = {"difference": sum(ci) / 2, "ci": ci, "relative": 0.1, "share_in_favour": 0.5, "metric": "ndcg@10"}
    assert expected in words.reinforcement("v9", pair, 0.95)


def test_the_planted_order_is_checked_and_said():
    (said,) = words.planted_structure(_results([], popularity=0.1, itemcf=0.2, rl=0.3))
    assert said.startswith("Planted structure of the synthetic shop found")
    assert "NDCG@10 popularity 0.1000 < itemcf 0.2000 < rl 0.3000" in said
    assert "NOT found" in words.planted_structure(_results([], popularity=0.1, itemcf=0.4, rl=0.3))[0]
    assert words.planted_structure(_results([], popularity=0.1, rl=0.3)) == []


@pytest.mark.parametrize(
    ("rule", "good_enough", "loss_passed", "outcome"),
    [
        ("if_not_worse", True, 0.004, "not worse beyond chance"),
        ("if_not_worse", False, 0.004, ": worse beyond chance"),
        ("if_better", True, None, ": better beyond chance"),
        ("if_better", False, None, "not better beyond chance"),
    ],
)
def test_a_decision_names_both_row_sets_and_how_often_the_rule_errs(rule, good_enough, loss_passed, outcome):
    figures = {"new": 0.2, "current": 0.19, "difference": 0.01, "ci": [-0.01, 0.03], "rows": 1234}
    decided = {"metric": "ndcg@10", "rule": rule, "good_enough": good_enough, "equal_promoted": 0.975}
    why = words.why_promoted({**figures, **decided, "loss_passed": loss_passed, "test": {**figures, "rows": 77}})
    assert why.startswith("NDCG@10 0.2000 against 0.1900 of the model in service on the same 1,234 validation rows")
    assert outcome in why
    assert "77 test rows, which decide nothing" in why
    assert "an equally good model is promoted in 97.5% of the cases" in why
    assert ("one that truly loses 0.0040 in half of them" in why) == (loss_passed is not None)


def test_what_became_of_a_model_names_the_run_in_service():
    outcome = {"promoted": False, "in_service": "monday", "why": "NDCG@10 fell", "current": 0.2}
    assert words.promotion(outcome) == "Not promoted, monday stays in service: NDCG@10 fell."


@pytest.mark.parametrize(("on", "said"), [("all", "whole data"), ("training", "training period"), (None, None)])
def test_the_protocol_says_of_which_events_the_k_core_is(on, said):
    protocol = {
        **{"split": "global_time", "max_history": 20, "k_core": 5, "k_core_on": on, "seen_items": "drop", "ks": [10]},
        **{"test_rows": 7, "test_users": 6, "num_candidates": 9, "decoding": "beam search", "beam_width": 20},
        **{"baselines_fitted_on": "train", "confidence": 0.95, "intervals": "bootstrap", "head_share": 0.2},
    }
    sentences = words.protocol_in_words(protocol)
    assert [s for s in sentences if "k-core" in s] == ([sentences[0]] if said else [])
    assert said is None or (said in sentences[0] and "at least 5" in sentences[0])
