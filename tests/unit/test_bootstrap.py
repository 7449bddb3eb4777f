"""Resampling of users: intervals that cover, pairs that are paired."""

import numpy as np
import pytest

from genrec import bootstrap
from genrec.bootstrap import interval, ratio, resampled_sums, share_in_favour, sums_by_user


def test_rows_of_a_user_are_added_up():
    users = np.array([7, 3, 7, 3, 1])
    rows = np.arange(10.0).reshape(5, 2)
    np.testing.assert_array_equal(sums_by_user(users, rows), [[8, 9], [8, 10], [4, 6]])


def test_same_seed_same_resamples_whatever_the_columns_and_the_memory(monkeypatch):
    values = np.random.default_rng(0).random((40, 3))
    whole = resampled_sums(values, 50, seed=1)
    np.testing.assert_allclose(resampled_sums(values[:, :1], 50, seed=1)[:, 0], whole[:, 0], rtol=1e-12)
    monkeypatch.setattr(bootstrap, "_CELLS", 100)
    np.testing.assert_allclose(resampled_sums(values, 50, seed=1), whole, rtol=1e-12)
    assert not np.allclose(resampled_sums(values, 50, seed=2), whole)


def test_every_resample_draws_as_many_users_as_there_are():
    np.testing.assert_array_equal(resampled_sums(np.ones((37, 1)), 20, seed=0), 37)


def test_resamples_spread_as_theory_says():
    values = (np.random.default_rng(0).random((2000, 1)) < 0.1).astype(float)
    means = resampled_sums(values, 2000, seed=3)[:, 0] / len(values)
    assert means.mean() == pytest.approx(values.mean(), abs=1e-3)
    assert means.std() == pytest.approx(values.std() / np.sqrt(len(values)), rel=0.06)


def test_intervals_cover_the_truth_as_often_as_they_say():
    generator, covered = np.random.default_rng(5), 0
    for trial in range(200):
        sample = (generator.random((300, 1)) < 0.3).astype(float)
        low, high = interval(resampled_sums(sample, 200, seed=trial)[:, 0] / 300, 0.9)
        covered += low <= 0.3 <= high
    assert 0.83 <= covered / 200 <= 0.96


def test_users_not_rows_are_resampled():
    """Ten identical rows a user carry no more evidence than one."""
    values = (np.random.default_rng(1).random(200) < 0.3).astype(float)
    users = np.repeat(np.arange(200), 10)
    rows = np.stack([np.repeat(values, 10), np.ones(2000)], axis=1)
    sums = resampled_sums(sums_by_user(users, rows), 500, seed=0)
    spread = ratio(sums[:, 0], sums[:, 1]).std()
    assert spread == pytest.approx(values.std() / np.sqrt(200), rel=0.12)


def test_a_model_against_itself_never_differs():
    values = np.random.default_rng(2).random((100, 1))
    sums = resampled_sums(np.hstack([values, values]), 100, seed=0)
    assert (sums[:, 0] == sums[:, 1]).all()
    assert share_in_favour(sums[:, 0] - sums[:, 1]) == 0.5


def test_pairing_sees_what_separate_intervals_cannot():
    base = np.random.default_rng(3).random(400)
    sums = resampled_sums(np.stack([base + 0.01, base], axis=1), 500, seed=0) / 400
    low, high = interval(sums[:, 0] - sums[:, 1], 0.95)
    assert low == pytest.approx(0.01)
    assert high == pytest.approx(0.01)
    assert interval(sums[:, 0], 0.95)[0] < interval(sums[:, 1], 0.95)[1]


def test_resamples_without_a_row_of_the_slice_are_left_out():
    means = ratio(np.array([1.0, 0.0, 2.0]), np.array([2.0, 0.0, 4.0]))
    assert np.isnan(means[1])
    assert interval(means, 0.95) == (0.5, 0.5)
