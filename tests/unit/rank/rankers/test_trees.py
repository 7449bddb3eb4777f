"""LambdaMART and XGBoost: what is planted is found under every objective."""

import dataclasses

import numpy as np
import pytest

from genrec.errors import ConfigError, DataError
from genrec.rank.figures import gauc, list_figures
from genrec.rank.rankers import lambdamart
from genrec.rank.rankers.parts import libraries
from tests.support.rank_tiny import fitted, product_lists

TRAIN, OTHERS = product_lists(), product_lists(40, seed=1)


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        *(("lambdamart", objective) for objective in ("lambdarank", "xendcg", "binary")),
        *(("xgboost", objective) for objective in ("pointwise", "pairwise", "listwise")),
    ],
)
def test_every_objective_sees_the_product_of_two_features(name, objective):
    scores = fitted(name, TRAIN, OTHERS, objective=objective).scores(OTHERS)
    assert gauc(OTHERS, scores, OTHERS.label) > 0.85
    assert list_figures(OTHERS, scores)["ndcg@10"] > 0.65


@pytest.mark.parametrize("name", ["lambdamart", "xgboost"])
def test_training_stops_where_validation_no_longer_gains_and_keeps_the_best(name):
    options = {"num_rounds": 200, "patience": 5}
    noise = np.random.default_rng(0).permutation(len(OTHERS))
    shuffled = dataclasses.replace(OTHERS, features=OTHERS.features[noise])
    stopped, whole = fitted(name, TRAIN, shuffled, **options), fitted(name, TRAIN, None, **options)
    count = {"lambdamart": lambda r: r.booster.num_trees(), "xgboost": lambda r: r.booster.num_boosted_rounds()}[name]
    assert count(stopped) < 60
    assert count(whole) == 200


@pytest.mark.parametrize("name", ["lambdamart", "blend"])
def test_shap_values_add_up_to_the_score_and_name_the_planted_features(name):
    ranker = fitted(name, TRAIN)
    shap = ranker.contributions(OTHERS)
    assert shap.shape == (len(OTHERS), 5)
    np.testing.assert_allclose(shap.sum(axis=1), ranker.scores(OTHERS), rtol=1e-4, atol=1e-4)
    assert set(np.argsort(-np.abs(shap[:, :-1]).mean(axis=0))[:2].tolist()) == {0, 1}


def test_a_library_that_is_not_there_is_named_with_its_extra():
    with pytest.raises(ConfigError, match=r"no_such_library is not installed.*genrec\[rank\]"):
        libraries.imported("no_such_library", "rank")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_model_file_that_is_cut_off_is_named_and_ends_no_process(tmp_path, share):
    fitted("lambdamart", product_lists(30), num_rounds=5).save(tmp_path)
    file = tmp_path / "model.txt"
    text = file.read_text()
    file.write_text(text[: int(share * len(text))])
    with pytest.raises(DataError, match=r"model\.txt: cannot be read"):
        lambdamart.load(tmp_path)


def test_a_blend_adds_its_members_each_by_its_spread_within_lists():
    weight = 0.5
    blended = fitted("blend", TRAIN, pointwise_weight=weight)
    pairwise, pointwise = (fitted("lambdamart", TRAIN, objective=objective) for objective in ("lambdarank", "binary"))

    def scaled(ranker):
        scores = ranker.scores(TRAIN).reshape(-1, 10)
        return ranker.scores(OTHERS) / (scores - scores.mean(axis=1, keepdims=True)).std()

    np.testing.assert_allclose(
        blended.scores(OTHERS), scaled(pairwise) + weight * scaled(pointwise), rtol=1e-4, atol=1e-5
    )
