"""Assignment under size bounds against exact solvers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog

from genrec.sid.quantize import distances as distances_module
from genrec.sid.quantize.balance import assign_within_bounds, settle_greedily
from genrec.sid.quantize.distances import Bounds, Distances, size_bounds
from genrec.sid.quantize.prices import fit_prices
from tests.support.sid_samples import clustered


def distances_of(points, centroids):
    return Distances(torch.from_numpy(points), torch.from_numpy(centroids))


def exact_cost(table, low, high):
    """The optimum of the transport problem by linear programming."""
    num_points, num_codes = table.shape
    each_point = np.kron(np.eye(num_points), np.ones(num_codes))
    each_code = np.kron(np.ones(num_points), np.eye(num_codes))
    solved = linprog(
        table.reshape(-1),
        A_ub=np.concatenate([each_code, -each_code]),
        b_ub=np.concatenate([np.full(num_codes, high), np.full(num_codes, -low)]),
        A_eq=each_point,
        b_eq=np.ones(num_points),
    )
    return solved.fun


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    num_points=st.integers(1, 24),
    num_codes=st.integers(1, 6),
    slack=st.integers(1, 4),
    spread=st.sampled_from([0.0, 0.05, 1.0]),
)
def test_the_assignment_is_the_cheapest_within_the_bounds(seed, num_points, num_codes, slack, spread):
    rng = np.random.default_rng(seed)
    points = (
        rng.normal(size=(3, 4))[rng.integers(0, 3, num_points)] + spread * rng.normal(size=(num_points, 4))
    ).astype(np.float32)
    centroids = rng.normal(size=(num_codes, 4)).astype(np.float32)
    bounds = size_bounds(num_points, num_codes, slack, 0.0)
    distances = distances_of(points, centroids)
    codes, _ = assign_within_bounds(distances, bounds, fit_prices(distances, bounds))
    counts = np.bincount(codes.numpy(), minlength=num_codes)
    assert counts.min() >= bounds.low
    assert counts.max() <= bounds.high
    table = distances.sample().numpy().astype(np.float64)
    cost = table[np.arange(num_points), codes.numpy()].sum()
    assert cost == pytest.approx(exact_cost(table, bounds.low, bounds.high), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("start", ["fitted", "none", "far off"])
def test_the_optimum_does_not_depend_on_the_prices_it_starts_from(start):
    points = clustered(120, 5, 9, seed=0)
    centroids = clustered(10, 5, 10, seed=1)
    distances, bounds = distances_of(points, centroids), Bounds(12, 12)
    prices = {
        "fitted": fit_prices(distances, bounds),
        "none": torch.zeros(10),
        "far off": torch.from_numpy(np.random.default_rng(0).normal(size=10).astype(np.float32) * 50),
    }[start]
    codes, _ = assign_within_bounds(distances, bounds, prices)
    table = distances.sample().numpy().astype(np.float64)
    rows, columns = linear_sum_assignment(np.repeat(table, 12, axis=1))
    cost = np.repeat(table, 12, axis=1)[rows, columns].sum()
    assert table[np.arange(120), codes.numpy()].sum() == pytest.approx(cost, rel=1e-9)


def test_settled_prices_give_back_the_assignment():
    points, centroids = clustered(600, 6, 20, seed=0), clustered(16, 6, 16, seed=1)
    distances, bounds = distances_of(points, centroids), size_bounds(600, 16, 1, 0.0)
    codes, prices = assign_within_bounds(distances, bounds, fit_prices(distances, bounds))
    assert torch.equal(distances.cheapest(prices), codes)
    assert not torch.equal(distances.cheapest(torch.zeros(16)), codes)


def test_bounds_that_do_not_bind_change_nothing():
    points, centroids = clustered(200, 5, 8, seed=0), clustered(8, 5, 8, seed=1)
    distances = distances_of(points, centroids)
    prices = fit_prices(distances, Bounds(0, 200))
    codes, _ = assign_within_bounds(distances, Bounds(0, 200), prices)
    assert torch.equal(codes, distances.cheapest(torch.zeros(8)))


def test_equal_points_are_shared_out():
    distances = distances_of(np.ones((10, 3), np.float32), np.zeros((4, 3), np.float32))
    bounds = size_bounds(10, 4, 1, 0.0)
    codes, _ = assign_within_bounds(distances, bounds, fit_prices(distances, bounds))
    assert np.bincount(codes.numpy(), minlength=4).max() <= 3


def test_sizes_that_cannot_be_are_refused():
    distances = distances_of(np.ones((10, 3), np.float32), np.zeros((4, 3), np.float32))
    with pytest.raises(ValueError, match="10 points do not fit 4 clusters of 0 to 2"):
        assign_within_bounds(distances, Bounds(0, 2), torch.zeros(4))


def test_in_blocks_the_bounds_hold_and_little_is_lost(monkeypatch):
    points, centroids = clustered(3000, 8, 40, seed=0), clustered(30, 8, 30, seed=1)
    bounds = size_bounds(3000, 30, 1, 0.0)
    whole = distances_of(points, centroids)
    exact, _ = assign_within_bounds(whole, bounds, fit_prices(whole, bounds))
    norms = float(np.square(points).sum())  # the tables leave them out
    best = float(whole.sample().gather(1, exact[:, None]).sum()) + norms
    monkeypatch.setattr(distances_module, "_TABLE_ENTRIES", 30 * 1000)
    distances = distances_of(points, centroids)
    assert not distances.is_table
    codes, prices = assign_within_bounds(distances, bounds, fit_prices(distances, bounds))
    counts = np.bincount(codes.numpy(), minlength=30)
    assert (bounds.low, bounds.high) == (99, 101)
    assert counts.min() >= 99
    assert counts.max() <= 101
    assert float(whole.sample().gather(1, codes[:, None]).sum()) + norms < 1.02 * best
    assert torch.equal(distances.cheapest(prices), whole.cheapest(prices))


def test_greedy_settling_fills_what_is_below_the_lower_bound():
    distances = distances_of(np.arange(8, dtype=np.float32)[:, None], np.array([[0.0], [1.0], [2.0]], np.float32))
    codes = settle_greedily(distances, Bounds(2, 4), torch.full((8,), 2))
    assert np.bincount(codes.numpy(), minlength=3).min() >= 2
    assert codes[-2:].tolist() == [2, 2]
