import numpy as np
import pytest

from genrec.rank.weights import DAY_MS, list_weights, weighted
from tests.support.rank_tiny import samples

EVENTS = {"purchase": 3.0, "click": 1.0}


def test_a_purchase_weighs_three_clicks_and_the_mean_is_one():
    weight = list_weights(np.array(["click", "purchase", "review", "click"]), EVENTS)
    np.testing.assert_allclose(weight, np.array([1, 3, 1, 1]) / 1.5, rtol=1e-6)


def test_a_half_life_older_counts_half_and_a_rarely_seen_position_more():
    weight = list_weights(
        np.array(["click"] * 3),
        EVENTS,
        timestamp=np.array([10, 3, 10]) * DAY_MS,
        half_life_days=7.0,
        inverse_propensity=np.array([1.0, 1.0, 4.0]),
    )
    assert weight / weight[0] == pytest.approx([1, 0.5, 4])
    assert weight.mean() == pytest.approx(1)


def test_weights_of_nothing_count_all_alike():
    np.testing.assert_array_equal(list_weights(np.array(["a", "b"]), {"a": 0.0, "b": 0.0}), [1, 1])
    assert len(list_weights(np.array([], dtype=str), EVENTS)) == 0


def test_every_row_of_a_list_weighs_as_the_list():
    lists = weighted(samples(np.zeros((4, 1)), np.zeros(4), per_list=2), np.array([3, 1], dtype=np.float32))
    np.testing.assert_array_equal(lists.weight, [3, 3, 1, 1])
