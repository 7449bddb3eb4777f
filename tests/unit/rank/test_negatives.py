import numpy as np
import pytest

from genrec.errors import DataError
from genrec.rank.features import channels
from genrec.rank.negatives import BEST_PLACE, best_place, training_rows
from tests.support.rank_tiny import samples

# Two lists of five; the second has no target.
LISTS = samples(
    np.array([[1, 9], [2, 9], [np.nan, 0], [4, 8], [5, 5], [1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]),
    np.array([0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
    per_list=5,
    names=("best_place", "leaf_rank"),
)


def test_hard_takes_the_rows_that_some_channel_ranks_best():
    np.testing.assert_array_equal(best_place(LISTS)[:5], [1, 2, np.inf, 4, 5])
    np.testing.assert_array_equal(training_rows(LISTS, "hard", 2, seed=0, only_with_target=False), [0, 1, 5, 6])


def test_a_target_behind_the_hard_rows_is_no_sample_or_a_poor_rank_would_mean_positive():
    assert len(training_rows(LISTS, "hard", 2, seed=0)) == 0
    better = samples(LISTS.features, np.array([0, 1, *[0] * 8]), per_list=5, names=LISTS.names)
    np.testing.assert_array_equal(training_rows(better, "hard", 2, seed=0), [0, 1])


def test_all_takes_every_row_of_the_lists_with_a_target():
    np.testing.assert_array_equal(training_rows(LISTS, "all", 1, seed=0), np.arange(5))
    np.testing.assert_array_equal(training_rows(LISTS, "all", 1, seed=0, only_with_target=False), np.arange(10))


@pytest.mark.parametrize("rule", ["uniform", "hard"])
def test_a_list_shorter_than_asked_for_is_taken_whole(rule):
    np.testing.assert_array_equal(training_rows(LISTS, rule, 50, seed=0), np.arange(5))


def test_uniform_draws_each_negative_as_often_and_always_keeps_the_target():
    times = np.zeros(5)
    for seed in range(300):
        rows = training_rows(LISTS, "uniform", 2, seed=seed)
        assert len(rows) == 3
        times[rows] += 1
    assert times[2] == 300
    assert np.abs(times[[0, 1, 3, 4]] / 150 - 1).max() < 0.25
    np.testing.assert_array_equal(training_rows(LISTS, "uniform", 2, 7), training_rows(LISTS, "uniform", 2, 7))


def test_hard_without_the_feature_of_the_places_is_refused_and_the_feature_is_there():
    unranked = samples(LISTS.features, LISTS.label, per_list=5)
    with pytest.raises(DataError, match="no feature best_place"):
        training_rows(unranked, "hard", 2, seed=0)
    assert BEST_PLACE in channels.names(("itemcf",), 3)


def test_without_rows_nothing_is_taken():
    assert len(training_rows(LISTS.take(np.zeros(10, dtype=bool)), "hard", 2, seed=0)) == 0
