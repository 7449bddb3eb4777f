"""Compiled trees give what LightGBM gives."""

import lightgbm
import numpy as np
import pytest

from genrec.rank.rankers.parts.few_rows import _not_above, compiled, joined


def booster(num_leaves=7, missing=0.2, categorical=(), **params):
    rng = np.random.default_rng(0)
    features = np.round(rng.normal(size=(600, 5)), 1).astype(np.float32)
    if categorical:
        features[:, 0] = rng.integers(0, 9, 600)
    features[rng.random(features.shape) < missing] = np.nan
    label = (np.nan_to_num(features[:, 0]) * np.nan_to_num(features[:, 1]) > 0.1).astype(float)
    data = lightgbm.Dataset(features, label, categorical_feature=list(categorical) or "auto", free_raw_data=False)
    made = {"objective": "binary", "num_leaves": num_leaves, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    return lightgbm.train(made | params, data, 20), features


@pytest.mark.parametrize("num_leaves", [2, 7, 9])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_sums_are_those_of_the_library_also_for_missing_features(num_leaves, missing):
    model, features = booster(num_leaves, missing)
    asked = features.copy()
    asked[::7, 1], asked[3], asked[5, 2] = np.nan, np.nan, 1e30
    np.testing.assert_allclose(compiled(model).sums(asked), model.predict(asked, raw_score=True), rtol=1e-12)


def test_trees_of_several_models_add_up_to_their_weighted_sum_for_any_number_of_rows():
    (one, features), (other, _) = booster(num_leaves=7), booster(num_leaves=3, learning_rate=0.3)
    both = joined([compiled(one), compiled(other)], [0.25, 2.0])
    wanted = 0.25 * one.predict(features, raw_score=True) + 2 * other.predict(features, raw_score=True)
    np.testing.assert_allclose(both.sums(features), wanted, rtol=1e-12)
    np.testing.assert_allclose(both.sums(features[:1]), wanted[:1], rtol=1e-12)
    assert both.sums(features[:0]).shape == (0,)
    assert joined([compiled(one), None], [1.0, 1.0]) is None


def test_trees_that_do_not_fit_are_left_to_the_library():
    assert compiled(booster(num_leaves=31)[0]) is None
    assert compiled(booster(categorical=[0])[0]) is None
    assert compiled(booster(zero_as_missing=True)[0]) is None


def test_a_threshold_between_two_float32_sends_both_where_float64_does():
    low = np.float32(0.1)
    for threshold in (float(low) - 1e-10, float(low), float(low) + 1e-10, 1e300):
        for value in (low, np.nextafter(low, np.float32(0)), np.nextafter(low, np.float32(1))):
            assert (value <= _not_above(threshold)) == (float(value) <= threshold)
