import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.rank import figures
from genrec.rank.order import first_hit, places
from tests.support.rank_tiny import samples

# The lists: targets at places 2, 0 and none; in the fourth two targets, at places 0 and 2.
LISTS = samples(np.zeros((12, 1)), np.array([0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1]), per_list=3)
SCORES = np.array([0.9, 0.8, 0.7, 3.0, 2.0, 1.0, 0.3, 0.2, 0.1, 0.5, 0.4, 0.6], dtype=np.float32)


def test_figures_of_lists_by_hand():
    values = figures.by_list(LISTS, SCORES, LISTS.label, ks=(1, 2, 10))
    names = figures.list_names((1, 2, 10))
    table = {name: values[:, column] for column, name in enumerate(names)}
    np.testing.assert_array_equal(table["hr@1"], [0, 1, 0, 1])
    np.testing.assert_array_equal(table["hr@2"], [0, 1, 0, 1])
    np.testing.assert_array_equal(table["hr@10"], [1, 1, 0, 1])
    two = (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    assert table["ndcg@10"] == pytest.approx([1 / np.log2(4), 1, 0, two])
    assert table["mrr"] == pytest.approx([1 / 3, 1, 0, 1])
    assert table["map"] == pytest.approx([1 / 3, 1, 0, (1 + 2 / 3) / 2])


def test_means_count_lists_without_candidates_where_it_is_said_how_many_were_asked_for():
    four = figures.list_figures(LISTS, SCORES, ks=(10,))
    eight = figures.list_figures(LISTS, SCORES, ks=(10,), num_lists=8)
    assert four["hr@10"] == pytest.approx(3 / 4)
    assert eight["hr@10"] == pytest.approx(3 / 8)
    assert eight["gauc"] == four["gauc"]


def test_equal_scores_keep_the_order_of_the_candidates():
    np.testing.assert_array_equal(places(LISTS, np.zeros(12)), [0, 1, 2] * 4)
    np.testing.assert_array_equal(first_hit(LISTS, np.zeros(12), LISTS.label), [2, 0, -1, 1])


def _share_of_pairs(label, scores):
    """AUC by its definition: the share of the pairs in the right order, a tie counting half."""
    right = scores[label > 0][:, None] - scores[label <= 0]
    return float(((right > 0) + 0.5 * (right == 0)).mean())


@given(st.integers(0, 10_000))
def test_auc_is_the_share_of_pairs_in_the_right_order_over_all_rows_and_inside_lists(seed):
    generator = np.random.default_rng(seed)
    count = generator.integers(1, 60)
    user = np.sort(generator.integers(0, 6, size=count))
    scores = generator.integers(0, 4, size=count).astype(np.float32)
    label = (generator.random(count) < 0.3).astype(np.float32)
    lists = samples(np.zeros((count, 1)), label, user=user)
    values, rows = figures.auc_by_list(lists, scores, label)
    for place, one in enumerate(np.unique(user)):
        own = user == one
        assert rows[place] == own.sum()
        if 0 < label[own].sum() < own.sum():
            assert values[place] == pytest.approx(_share_of_pairs(label[own], scores[own]))
        else:
            assert np.isnan(values[place])
    if 0 < label.sum() < count:
        assert figures.auc(scores, label) == pytest.approx(_share_of_pairs(label, scores))


def test_gauc_sees_no_difference_between_lists():
    shifted = SCORES + np.repeat([10, 0, 5, 2], 3)
    assert figures.gauc(LISTS, shifted, LISTS.label) == figures.gauc(LISTS, SCORES, LISTS.label)
    assert figures.auc(shifted, LISTS.label) != figures.auc(SCORES, LISTS.label)
    assert np.isnan(figures.gauc(LISTS, SCORES, np.zeros(12, dtype=np.float32)))
    assert np.isnan(figures.auc(SCORES, np.zeros(12, dtype=np.float32)))


def test_calibrated_probabilities_have_no_error_and_halved_ones_that_of_half():
    generator = np.random.default_rng(0)
    probability = generator.random(200_000)
    label = (generator.random(200_000) < probability).astype(np.float32)
    right, half = figures.calibration(probability, label), figures.calibration(probability / 2, label)
    assert right.ece < 0.005
    assert half.ece == pytest.approx(0.25, abs=0.01)
    assert [row["rows"] for row in right.bins] == [20_000] * 10
    assert half.bins[-1]["observed"] == pytest.approx(0.95, abs=0.01)
    assert half.bins[-1]["predicted"] == pytest.approx(0.475, abs=0.01)
    assert figures.calibration(probability[:3], label[:3]).bins[0]["rows"] == 1
    assert figures.calibration(probability[:0], label[:0]).bins == []


def test_segments_are_lists_apart():
    found = figures.by_segment(LISTS, SCORES, np.array(["few", "many", "few", "many"]), ks=(1,))
    assert (found["few"]["lists"], found["few"]["hr@1"]) == (2, 0)
    assert (found["many"]["lists"], found["many"]["hr@1"]) == (2, 1)


def test_the_first_items_of_lists_of_any_length():
    lists = LISTS.take(np.array([0, 1, 2, 3, 9, 10]))
    items, scores = figures.listed(lists, SCORES[[0, 1, 2, 3, 9, 10]], 2)
    np.testing.assert_array_equal(items, [[0, 1], [3, -1], [9, 10]])
    assert scores[1, 1] == -np.inf
    assert scores[2].tolist() == pytest.approx([0.5, 0.4])


def test_what_made_a_score_adds_up_to_it():
    shap = np.array([[0.1, -2.0, 0.5, 0.25]])
    (row,) = figures.explained(["a", "b", "c"], shap, np.array([[1.0, np.nan, 3.0]], dtype=np.float32), most=2)
    assert row["score"] == pytest.approx(-1.15)
    assert row["base"] == 0.25
    assert [(f["name"], f["value"]) for f in row["features"]] == [("b", None), ("c", 3.0)]
    assert row["base"] + row["others"] + sum(f["contribution"] for f in row["features"]) == pytest.approx(row["score"])


def test_the_mean_importance_is_sorted():
    assert list(figures.mean_importance([{"a": 0.2, "b": 0.8}, {"a": 0.4, "b": 0.6}]).items()) == [
        ("b", pytest.approx(0.7)),
        ("a", pytest.approx(0.3)),
    ]
    assert figures.mean_importance([]) == {}
