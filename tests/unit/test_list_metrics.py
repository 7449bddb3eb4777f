"""Figures of recommendation lists: known answers."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.list_metrics import ListMetrics

CATALOGUE = pa.table(
    {
        "train_count": [5, 1, 0, 0],
        "categories": pa.array([["shop", "a"], ["shop", "b"], ["shop", "a"], []], pa.list_(pa.string())),
    }
)
ITEMS = np.array([[0, 1], [2, -1], [-1, -1], [0, 3]], dtype=np.int32)


@pytest.fixture
def figures():
    return ListMetrics(CATALOGUE, 2, 0.25)(ITEMS)


def test_coverage_is_the_share_of_items_in_any_list(figures):
    assert figures["coverage@2"] == 1.0
    assert ListMetrics(CATALOGUE, 2, 0.25)(ITEMS[:1])["coverage@2"] == 0.5


def test_novelty_is_the_mean_information_of_listed_items_in_bits(figures):
    bits = -np.log2(np.array([6, 2, 1, 1]) / 10)
    assert figures["novelty@2"] == pytest.approx(np.mean([bits[:2].mean(), bits[2], bits[[0, 3]].mean()]))


def test_diversity_is_one_minus_the_jaccard_index_of_categories(figures):
    assert figures["diversity@2"] == pytest.approx(1 - 1 / 3)  # one pair has categories on both sides
    same = ListMetrics(CATALOGUE, 2, 0.25)(np.array([[0, 2]], dtype=np.int32))
    assert same["diversity@2"] == 0.0


def test_tail_share_counts_listed_items_that_are_not_head(figures):
    assert figures["tail_share@2"] == pytest.approx(np.mean([0.5, 1, 0.5]))


def test_categories_and_new_items_are_counted_list_by_list():
    lists = ListMetrics(CATALOGUE, 2, 0.25)
    assert lists.num_categories(ITEMS).tolist() == [2, 1, 0, 1]
    assert lists.num_categories(np.array([[0, 2]], dtype=np.int32)).tolist() == [1]  # the same most specific category
    rare = CATALOGUE.set_column(0, "train_count", pa.array([6, 5, 0, 9]))
    assert ListMetrics(rare, 2, 0.25).num_new(ITEMS).tolist() == [1, 1, 0, 0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.permutations(range(4)), min_size=1, max_size=6), st.integers(1, 4))
def test_diversity_equals_its_definition(rows, k):
    categories = [set(c) for c in CATALOGUE["categories"].to_pylist()]
    means = []
    for row in rows:
        pairs = [
            1 - len(categories[a] & categories[b]) / len(categories[a] | categories[b])
            for i, a in enumerate(row[:k])
            for b in row[:i]
            if categories[a] and categories[b]
        ]
        means += [np.mean(pairs)] if pairs else []
    found = ListMetrics(CATALOGUE, k, 0.25)(np.array(rows, dtype=np.int32)[:, :k])
    assert found[f"diversity@{k}"] == pytest.approx(np.mean(means) if means else 0.0)


def test_a_catalogue_without_categories_has_no_diversity():
    bare = CATALOGUE.set_column(1, "categories", pa.array([[]] * 4, pa.list_(pa.string())))
    assert ListMetrics(bare, 2, 0.25)(ITEMS)["diversity@2"] == 0.0
