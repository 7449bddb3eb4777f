"""The ranking that all channels share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genrec.errors import DataError
from genrec.recall.parts.ranking import rank, top_k
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
