import dataclasses
import json

import numpy as np
import pytest

from genrec.config.rank import RankConfig
from genrec.errors import DataError
from genrec.rank import ranking
from genrec.rank.ablation import without_each
from genrec.rank.folds import fold_of
from genrec.rank.scored import Scored
from tests.support.rank_tiny import SMALL, product_lists, samples

CONFIG = RankConfig.model_validate({"ranker": {"name": "lambdamart", "options": SMALL["lambdamart"]}, "num_folds": 3})
LISTS = product_lists(150)
NOTHING = np.zeros(len(LISTS), dtype=np.float32)


@pytest.fixture(scope="module")
def fitted():
    return ranking.fit_by_folds(LISTS, CONFIG, seed=0)


def test_no_user_is_scored_by_a_model_that_learned_from_it():
    """Turning the labels of one fold's users round changes the scores of all users but these."""
    own = fold_of(LISTS.user, 3, 0) == 1
    turned = dataclasses.replace(LISTS, label=np.where(own, np.roll(LISTS.label, 1), LISTS.label))
    before, after = (ranking.fit_by_folds(lists, CONFIG, seed=0).scores(LISTS) for lists in (LISTS, turned))
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).mean() > 0.9


def test_a_user_has_the_same_model_on_validation_and_on_test(fitted):
    some = LISTS.take(np.isin(LISTS.user, LISTS.user[::70]))
    np.testing.assert_array_equal(fitted.scores(some), fitted.scores(LISTS)[np.isin(LISTS.user, some.user)])


def test_a_ranking_that_beats_the_generator_is_used_and_its_figures_are_told():
    noise = np.random.default_rng(0).normal(size=len(LISTS)).astype(np.float32)
    voices = {"itemcf": np.where(LISTS.item < 5, np.nan, noise)}
    made, summary = ranking.fit_and_judge(LISTS, noise, CONFIG, 0, confidence=0.95, voices=voices)
    assert summary["use"]
    assert summary["gain"]["ci"][0] > 0
    assert summary["gain"]["difference"] == pytest.approx(
        summary["metrics"]["ranking"]["ndcg@10"] - summary["metrics"]["generator"]["ndcg@10"]
    )
    assert set(summary["metrics"]) == {"ranking", "generator", "itemcf"}
    assert (summary["lists"], summary["with_target"]) == (150, 1.0)
    assert next(iter(summary["importance"])) in ("x0", "x1")
    assert summary["calibration"]["ece"] < 0.05
    probability = Scored(made, LISTS).probabilities
    assert probability.mean() == pytest.approx(LISTS.label.mean(), abs=0.02)


def test_a_ranking_without_gain_is_not_used_unless_it_is_asked_for():
    perfect = LISTS.label + 0.0
    features = np.random.default_rng(0).normal(size=LISTS.features.shape).astype(np.float32)
    blind = dataclasses.replace(LISTS, features=features)
    _, summary = ranking.fit_and_judge(blind, perfect, CONFIG, 0, confidence=0.95)
    assert not summary["use"]
    assert summary["gain"]["ci"][1] < 0
    asked = CONFIG.model_copy(update={"require_gain": False})
    assert ranking.fit_and_judge(blind, perfect, asked, 0, confidence=0.95)[1]["use"]


def test_candidates_that_the_generator_did_not_give_come_behind_its_own():
    base = np.where(np.arange(len(LISTS)) % 2 == 0, -5.0, np.nan)
    label = (np.arange(len(LISTS)) % 10 == 1).astype(np.float32)  # the best of those that it did not give
    lists = dataclasses.replace(LISTS, label=label)
    _, summary = ranking.fit_and_judge(lists, base, CONFIG, 0, confidence=0.95)
    assert summary["metrics"]["generator"]["hr@5"] == 0
    assert summary["metrics"]["generator"]["hr@10"] == 1


def test_a_saved_ranking_scores_and_explains_as_before(fitted, tmp_path):
    fitted.save(tmp_path / "rank")
    again = ranking.load(tmp_path / "rank")
    np.testing.assert_array_equal(again.scores(LISTS), fitted.scores(LISTS))
    np.testing.assert_array_equal(Scored(again, LISTS).probabilities, Scored(fitted, LISTS).probabilities)
    one = LISTS.take(np.arange(10))
    assert again.explain(one) == fitted.explain(one)
    rows = fitted.explain(one)
    assert [row["score"] for row in rows] == pytest.approx(fitted.scores(one).tolist(), abs=1e-4)
    target = rows[int(one.label.argmax())]
    assert {feature["name"] for feature in target["features"][:2]} == {"x0", "x1"}
    with pytest.raises(DataError, match=r"ranking.json: cannot be read"):
        ranking.load(tmp_path)


def test_lists_of_one_class_or_none_at_all_keep_the_generators_order():
    nobody = dataclasses.replace(LISTS, label=NOTHING, tasks={"click": NOTHING, "purchase": NOTHING})
    base = np.random.default_rng(0).normal(size=len(LISTS))
    made, summary = ranking.fit_and_judge(nobody, base, CONFIG, 0, confidence=0.95)
    assert not summary["use"]
    assert not made.scores(LISTS).any()
    empty = LISTS.take(NOTHING > 0)
    made, summary = ranking.fit_and_judge(empty, base[:0], CONFIG, 0, confidence=0.95)
    assert not summary["use"]
    assert made.scores(empty).shape == (0,)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_fewer_users_than_folds_are_no_crash():
    few = LISTS.take(np.arange(20))
    assert np.isfinite(ranking.fit_by_folds(few, CONFIG, 0).scores(LISTS)).all()


def test_missing_features_are_counted_over_all_models(fitted):
    before = fitted.missing()["x3"]
    fitted.scores(LISTS.without(("x3",)))
    assert fitted.missing()["x3"] - before == len(LISTS)


def test_the_tasks_of_several_are_told_by_fold():
    config = RankConfig.model_validate({"ranker": {"name": "mmoe", "options": SMALL["mmoe"]}, "num_folds": 2})
    tasks = ranking.fit_by_folds(LISTS, config, 0).task_scores(LISTS)
    assert set(tasks) == {"click", "purchase"}
    assert all((values > 0).all() for values in tasks.values())


def test_the_group_of_features_that_carries_the_signal_adds_most():
    rows = without_each(
        LISTS, {"noise": ("x2", "x3"), "signal": ("x0", "x1")}, CONFIG, 0, confidence=0.95, folds=(0, 1)
    )
    assert [row["group"] for row in rows] == ["signal", "noise"]
    assert rows[0]["gain"]["ci"][0] > 0
    assert rows[0]["features"] == 2
    assert rows[0]["seconds"] > 0


def test_users_with_several_lists_stay_in_one_fold():
    user = np.repeat(np.arange(75), 20)
    twice = samples(
        LISTS.features, LISTS.label, user=user, query=np.repeat(np.arange(150), 10), tasks=dict(LISTS.tasks)
    )
    _, summary = ranking.fit_and_judge(twice, NOTHING, CONFIG, 0, confidence=0.95)
    assert summary["lists"] == 150
