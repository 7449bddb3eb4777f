"""HR, NDCG, coverage and popularity groups: known answers and bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genrec.metrics import coverage, hit, metric_names, ndcg, popularity_groups, row_metrics, target_ranks

RANKS = np.array([0, 1, 4, 5, -1])


def test_ranks_are_places_in_the_list_or_minus_one():
    items = np.array([[3, 1, 2], [3, 1, -1], [0, 1, 2]])
    np.testing.assert_array_equal(target_ranks(items, np.array([3, 1, 7])), [0, 1, -1])
    assert target_ranks(np.empty((2, 0), int), np.array([0, 1])).tolist() == [-1, -1]


def test_hit_rate_counts_targets_inside_the_cut():
    assert hit(RANKS, 5).tolist() == [1, 1, 1, 0, 0]


def test_ndcg_discounts_by_the_logarithm_of_the_place():
    np.testing.assert_allclose(ndcg(RANKS, 5), [1, 1 / np.log2(3), 1 / np.log2(6), 0, 0])


def test_row_metrics_are_in_the_order_of_their_names():
    assert metric_names([5, 10]) == ["hr@5", "hr@10", "ndcg@5", "ndcg@10"]
    np.testing.assert_allclose(row_metrics(RANKS, [5, 10])[3], [0, 1, 0, 1 / np.log2(7)])


@given(hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(-1, 30)), st.integers(1, 20), st.integers(0, 10))
def test_ndcg_is_at_most_hr_and_both_grow_with_k(ranks, k, more):
    assert (ndcg(ranks, k) <= hit(ranks, k)).all()
    assert (hit(ranks, k) <= hit(ranks, k + more)).all()
    assert (ndcg(ranks, k) <= ndcg(ranks, k + more)).all()
    np.testing.assert_array_equal(hit(ranks, 1), ndcg(ranks, 1))


def test_coverage_counts_distinct_items_of_the_top_k():
    items = np.array([[0, 1, 5], [1, 2, -1]])
    assert coverage(items, 2, 10) == pytest.approx(0.3)
    assert coverage(items, 3, 10) == pytest.approx(0.4)
    assert coverage(np.array([[-1, -1]]), 2, 10) == 0.0


def test_popularity_groups_by_hand():
    groups = popularity_groups(np.array([0, 9, 3, 3, 1]), 0.4)
    assert np.flatnonzero(groups["head"]).tolist() == [1, 2]  # equal counts: the lower index
    assert np.flatnonzero(groups["tail"]).tolist() == [3, 4]
    assert np.flatnonzero(groups["cold"]).tolist() == [0]


@given(hnp.arrays(np.int64, st.integers(1, 50), elements=st.integers(0, 5)), st.floats(0.01, 0.99))
def test_head_tail_and_cold_partition_the_catalogue(counts, head_share):
    groups = popularity_groups(counts, head_share)
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in groups.values()), 1)
    if groups["head"].any() and groups["tail"].any():
        assert counts[groups["head"]].min() >= counts[groups["tail"]].max()
