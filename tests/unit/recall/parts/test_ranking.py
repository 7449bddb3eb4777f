"""The ranking that all channels share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genrec.errors import DataError
from genrec.recall.parts.ranking import rank, rank_each, top_k
from tests.support.recall_tiny import HISTORIES, fitted


def test_ranking_drops_the_history_only_when_asked():
    scorer = fitted("popularity")
    dropped, _ = rank(scorer, [np.array([1, 0])], 3, drop_seen=True)
    kept, _ = rank(scorer, [np.array([1, 0])], 3, drop_seen=False)
    assert dropped.tolist() == [[2, 3, 4]]  # equal counts: the lower index first
    assert kept.tolist() == [[1, 0, 2]]


def test_short_lists_are_padded_with_minus_one():
    items, scores = rank(fitted("popularity"), [np.arange(4)], 5, drop_seen=True)
    assert items.tolist() == [[4, 5, -1, -1, -1]]
    assert np.isneginf(scores[0, 2:]).all()
    items, _ = rank(fitted("popularity"), [[]], 8, drop_seen=False)
    assert items[0, 6:].tolist() == [-1, -1]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([-np.inf, 0, 1, 2])
    ),
    st.integers(1, 12),
)
def test_top_k_equals_a_full_stable_sort(scores, k):
    items, values = top_k(scores, k)
    for row, listed, listed_scores in zip(scores, items, values, strict=True):
        order = [i for i in sorted(range(len(row)), key=lambda i: (-row[i], i)) if row[i] > -np.inf][:k]
        assert listed.tolist() == order + [-1] * (k - len(order))
        assert listed_scores[: len(order)].tolist() == [row[i] for i in order]


def test_the_batch_size_of_ranking_changes_nothing():
    scorer = fitted("transitions")
    whole, parts = rank(scorer, HISTORIES, 4, True, batch=100), rank(scorer, HISTORIES, 4, True, batch=2)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])


def test_scores_that_are_not_numbers_are_refused():
    class Broken:
        num_items = 2

        def scores(self, histories):
            return np.full((len(histories), 2), np.nan, dtype=np.float32)

    with pytest.raises(DataError, match="not finite"):
        rank(Broken(), [[0]], 1, False)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_both_protocols_of_one_scoring_equal_a_ranking_of_each(data):
    sequences = data.draw(st.lists(st.lists(st.integers(0, 8), max_size=6), min_size=1, max_size=6))
    histories = data.draw(st.lists(st.lists(st.integers(0, 8), max_size=9), max_size=6))
    name = data.draw(st.sampled_from(["popularity", "itemcf", "usercf", "transitions"]))
    k = data.draw(st.integers(1, 12))
    scorer = fitted(name, [np.array(s, dtype=np.int32) for s in sequences], 9)
    kept, dropped = rank_each(scorer, histories, k, [False, True], batch=4)
    dense = scorer.scores(histories) if histories else np.zeros((0, 9), np.float32)
    without_seen = dense.copy()
    for row, history in enumerate(histories):
        without_seen[row, history] = -np.inf
    for found, scores in ((kept, dense), (dropped, without_seen)):
        items, values = top_k(scores, k)
        np.testing.assert_array_equal(found[0], items)
        np.testing.assert_array_equal(found[1], values)


def test_dense_scores_are_held_for_as_many_histories_as_memory_allows(monkeypatch):
    seen = []

    class Watched:
        num_items = 10

        def scores(self, histories):
            seen.append(len(histories))
            return np.zeros((len(histories), 10), dtype=np.float32)

    monkeypatch.setattr("genrec.recall.parts.ranking._CELLS", 30)
    rank(Watched(), [[0]] * 7, 2, False)
    assert seen == [3, 3, 1]


def test_a_very_long_history_is_ranked_alone(monkeypatch):
    scorer = fitted("itemcf")
    whole = rank_each(scorer, HISTORIES, 4, [True, False])
    seen, of_all = [], scorer.best

    def watched(histories, n):
        seen.append(n)
        return of_all(histories, n)

    monkeypatch.setattr("genrec.recall.parts.ranking._LONG", 1)
    monkeypatch.setattr(scorer, "best", watched)
    for one, other in zip(whole, rank_each(scorer, HISTORIES, 4, [True, False]), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    assert seen == [5, 6, 6]  # the short ones together, then those of two and of three items
