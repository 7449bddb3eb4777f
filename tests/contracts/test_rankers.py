"""Promises that every ranker keeps."""

import dataclasses
import json
import logging

import numpy as np
import pytest

from genrec.errors import DataError
from genrec.rank.figures import gauc
from tests.support.rank_tiny import NAMES, fitted, loaded, product_lists, samples

TRAIN, OTHERS = product_lists(missing=0.2), product_lists(40, seed=1, missing=0.2)


def test_the_rankers_are_found_by_listing_the_package():
    assert {"lambdamart", "blend", "xgboost", "deepfm", "mmoe", "ple", "esmm"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_finite_and_see_what_is_planted_in_lists_never_seen(name):
    ranker = fitted(name, TRAIN, OTHERS)
    scores = ranker.scores(OTHERS)
    assert scores.dtype == np.float32
    assert scores.shape == (len(OTHERS),)
    assert np.isfinite(scores).all()
    assert gauc(OTHERS, scores, OTHERS.label) > 0.75, "a linear model is at 0.5"
    for task, values in ranker.task_scores(OTHERS).items():
        assert task in ("label", "click", "purchase")
        assert values.shape == (len(OTHERS),)
        assert np.isfinite(values).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_scores(name):
    first, second = (fitted(name, TRAIN, OTHERS, seed=3).scores(OTHERS) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_ranker_scores_as_before(name, tmp_path):
    ranker = fitted(name, TRAIN)
    ranker.save(tmp_path / "ranker")
    again = loaded(name, tmp_path / "ranker")
    np.testing.assert_array_equal(again.scores(OTHERS), ranker.scores(OTHERS))
    for task, values in ranker.task_scores(OTHERS).items():
        np.testing.assert_array_equal(again.task_scores(OTHERS)[task], values)
    assert again.inputs.names == TRAIN.names


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_without_a_ranker_is_named(name, tmp_path):
    with pytest.raises(DataError, match=r"ranker.json: cannot be read"):
        loaded(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_file_that_is_torn_is_named(name, tmp_path):
    fitted(name, TRAIN).save(tmp_path)
    (model,) = (path for path in tmp_path.iterdir() if path.stem == "model")
    model.write_bytes(b"torn")
    with pytest.raises(DataError, match=r"cannot be read .*; compute the stage rank again"):
        loaded(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_scores_of_a_list_do_not_depend_on_the_others(name):
    ranker = fitted(name, TRAIN)
    alone = [ranker.scores(OTHERS.take(OTHERS.query == query)) for query in np.unique(OTHERS.query)]
    np.testing.assert_allclose(np.concatenate(alone), ranker.scores(OTHERS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_constant_features_give_finite_scores(name):
    features = np.zeros_like(TRAIN.features)
    features[:, 1], features[:, 2] = 7.5, np.nan
    flat = dataclasses.replace(TRAIN, features=features)
    assert np.isfinite(fitted(name, flat, flat).scores(OTHERS)).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_one_class_only_is_a_warning_and_keeps_the_order(name, value, tmp_path, caplog):
    label = np.full_like(TRAIN.label, value)
    single = dataclasses.replace(TRAIN, label=label, tasks={"click": label, "purchase": label})
    with caplog.at_level(logging.WARNING):
        ranker = fitted(name, single, single)
    assert "nothing to learn from one class" in caplog.text
    assert not ranker.scores(OTHERS).any()
    assert all(not values.any() for values in ranker.task_scores(OTHERS).values())
    ranker.save(tmp_path)
    assert not loaded(name, tmp_path).scores(OTHERS).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_missing_at_scoring_is_a_counted_warning(name, caplog):
    ranker = fitted(name, TRAIN)
    fewer = OTHERS.without(("x3",))
    with caplog.at_level(logging.WARNING):
        scores = ranker.scores(fewer)
        ranker.scores(fewer)
    assert np.isfinite(scores).all()
    assert gauc(OTHERS, scores, OTHERS.label) > 0.7, "what is left is still read"
    assert ranker.inputs.missing == {"x3": 2 * len(OTHERS)}
    assert caplog.text.count("the feature x3 is not given") == 1
    as_missing = OTHERS.features.copy()
    as_missing[:, 3] = np.nan
    np.testing.assert_array_equal(scores, ranker.scores(dataclasses.replace(OTHERS, features=as_missing)))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_features_and_infinite_values_change_nothing_unsaid(name):
    ranker = fitted(name, TRAIN)
    turned = dataclasses.replace(OTHERS, names=OTHERS.names[::-1], features=OTHERS.features[:, ::-1])
    np.testing.assert_array_equal(ranker.scores(turned), ranker.scores(OTHERS))
    assert not ranker.inputs.missing
    features = OTHERS.features.copy()
    features[:5, 0], features[5:8, 1] = np.inf, -np.inf
    assert np.isfinite(ranker.scores(dataclasses.replace(OTHERS, features=features))).all()
    assert ranker.inputs.missing == {"x0": 5, "x1": 3}


@pytest.mark.parametrize("name", NAMES)
def test_tiny_data_and_none_at_all_are_no_crash(name):
    tiny = TRAIN.take(np.arange(10))
    ranker = fitted(name, tiny, tiny)
    assert np.isfinite(ranker.scores(OTHERS)).all()
    nothing = TRAIN.take(np.zeros(len(TRAIN), dtype=bool))
    assert ranker.scores(nothing).shape == (0,)
    assert all(values.shape == (0,) for values in ranker.task_scores(nothing).values())
    assert np.isfinite(fitted(name, nothing, None).scores(OTHERS)).all()
    assert np.isfinite(fitted(name, TRAIN, nothing).scores(OTHERS)).all()


@pytest.mark.parametrize("name", NAMES)
def test_users_and_items_never_seen_are_scored(name):
    ranker = fitted(name, TRAIN)
    new = dataclasses.replace(OTHERS, user=OTHERS.user + 2**40, query=OTHERS.query, item=-1 - OTHERS.item * 2**33)
    assert np.isfinite(ranker.scores(new)).all()


@pytest.mark.parametrize("name", NAMES)
def test_heavier_lists_are_learned_first(name):
    """Half of the lists want the large values of a feature, half the small ones; the heavier half decides."""
    generator = np.random.default_rng(0)
    value = generator.normal(size=(200, 10))
    wants_large = np.arange(200) % 2 == 0
    best = np.where(wants_large, value.argmax(axis=1), value.argmin(axis=1))
    label = (np.arange(10) == best[:, None]).astype(float).ravel()
    order = {}
    for heavy in (True, False):
        weight = np.repeat(np.where(wants_large == heavy, 1.9, 0.1), 10)
        train = samples(value.reshape(-1, 1), label, weight=weight, tasks={"click": label, "purchase": 0.5 * label})
        grid = samples(np.linspace(-1.5, 1.5, 10)[:, None], np.zeros(10))
        scores = fitted(name, train).scores(grid)
        order[heavy] = scores[-1] - scores[0]
    assert order[True] > 0 > order[False]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_is_data_alone(name, tmp_path):
    fitted(name, TRAIN).save(tmp_path)
    assert json.loads((tmp_path / "ranker.json").read_text())["names"] == list(TRAIN.names)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".txt", ".safetensors"}


@pytest.mark.parametrize("name", NAMES)
def test_importance_points_to_the_features_that_matter(name):
    importance = fitted(name, TRAIN).importance()
    if importance is not None:
        assert sum(importance.values()) == pytest.approx(1, abs=1e-3)
        assert sorted(importance, key=importance.__getitem__)[-2:] in (["x0", "x1"], ["x1", "x0"])
