"""Candidates: merged lists and what their channels are worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.rank.candidates import figures, merge, with_fallback


def lists(*rows, width=3):
    """Items of a channel by query, with scores 10 - rank."""
    items = np.full((len(rows), width), -1, dtype=np.int32)
    for number, row in enumerate(rows):
        items[number, : len(row)] = row
    scores = np.where(items >= 0, 10 - np.arange(width), -np.inf).astype(np.float32)
    return items, scores


def of(candidates, query):
    return candidates.item[candidates.query == query].tolist()


def test_lists_are_merged_without_repeats_and_keep_each_channels_score_and_rank():
    found = merge({"a": lists([5, 3], [1]), "b": lists([3, 7], [])}, 10)
    assert found.query.tolist() == [0, 0, 0, 1]
    assert of(found, 0) == [3, 5, 7]  # 1/62 + 1/61, 1/61, 1/62
    assert found.ranks.tolist() == [[1, 0], [0, -1], [-1, 1], [0, -1]]
    np.testing.assert_array_equal(found.scores, np.float32([[9, 10], [10, np.nan], [np.nan, 9], [10, np.nan]]))
    assert (found.scores.dtype, found.ranks.dtype, found.starts.tolist()) == (np.float32, np.int16, [0, 3, 4])


def test_channels_take_turns():
    found = merge({"a": lists([5, 3, 1]), "b": lists([3, 7, 8])}, 10, "round_robin")
    assert of(found, 0) == [5, 3, 7, 1, 8]  # 3 is the first of b before it is the second of a


@pytest.mark.parametrize("rule", ["reciprocal_rank", "round_robin"])
def test_the_limit_keeps_the_first_ones(rule):
    all_lists = {"a": lists([5, 3, 1], [2]), "b": lists([3, 7, 8], [4, 2])}
    whole, cut = merge(all_lists, 10, rule), merge(all_lists, 2, rule)
    for query in (0, 1):
        assert of(cut, query) == of(whole, query)[:2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 9), max_size=5, unique=True), min_size=3, max_size=3), min_size=1, max_size=3
    ),
    st.integers(1, 6),
    st.sampled_from(["reciprocal_rank", "round_robin"]),
)
def test_merging_equals_its_definition(channels, limit, rule):
    found = merge({str(c): lists(*rows, width=5) for c, rows in enumerate(channels)}, limit, rule)
    for query in range(3):
        ranks = {}
        for number, rows in enumerate(channels):
            for rank, item in enumerate(rows[query]):
                ranks.setdefault(item, {})[number] = rank
        if rule == "reciprocal_rank":
            worth = {item: sum(1 / (61 + rank) for rank in of_item.values()) for item, of_item in ranks.items()}
        else:
            worth = {item: -min(of_item.values()) for item, of_item in ranks.items()}

        def first(item, ranks=ranks):
            return min(ranks[item], key=lambda channel: (ranks[item][channel], channel))

        order = sorted(ranks, key=lambda item: (-round(worth[item], 9), first(item), item))
        listed = of(found, query)
        assert len(listed) == min(limit, len(order)) == len(set(listed))
        np.testing.assert_allclose([worth[item] for item in listed], [worth[item] for item in order[:limit]])
        if rule == "round_robin":
            assert listed == order[:limit]


def test_a_channel_without_a_signal_and_a_query_without_candidates_are_counted():
    found = merge({"a": lists([], [4]), "none": lists([], [])}, 5)
    assert (found.num_empty, found.starts.tolist(), of(found, 1)) == (1, [0, 0, 1], [4])
    nothing = merge({"a": lists([], [])}, 5)
    assert (len(nothing), nothing.num_empty) == (0, 2)
    assert (len(merge({}, 5)), merge({}, 5).num_queries) == (0, 0)


def test_filtered_items_are_no_candidates():
    allowed = np.zeros(9, dtype=bool)
    allowed[[3, 7]] = True
    found = merge({"a": lists([5, 3, 1], [5])}, 5, allowed=allowed)
    assert (of(found, 0), found.num_empty) == ([3], 1)


def test_figures_say_what_a_channel_recalls_and_adds():
    # targets 5, 7, 9: a has the first; b the first and the second; nobody the third
    channels = {"a": lists([5, 3], [1], [2]), "b": lists([5], [7], [])}
    targets = np.array([5, 7, 9])
    told = figures(channels, merge(channels, 10), targets, k=2)
    third, two_thirds = round(1 / 3, 6), round(2 / 3, 6)
    assert told["channels"]["a"] == {"recall": third, "adds": 0.0, "queries": 1.0}
    assert told["channels"]["b"] == {"recall": two_thirds, "adds": third, "queries": two_thirds}
    assert (told["union"], told["ceiling"], told["without"]) == (two_thirds, two_thirds, 0)
    assert figures(channels, merge(channels, 1), targets, k=2)["ceiling"] == third  # 1 stands before 7


def test_a_target_behind_k_is_not_recalled_but_may_be_a_candidate():
    channels = {"a": lists([5, 3, 1])}
    told = figures(channels, merge(channels, 3), np.array([1]), k=2)
    assert (told["channels"]["a"]["recall"], told["union"], told["ceiling"]) == (0.0, 0.0, 1.0)


def test_labels_mark_the_target():
    found = merge({"a": lists([5, 3], [3])}, 5)
    assert found.labels(np.array([3, 4])).tolist() == [0, 1, 0]


def test_a_channel_without_a_vote_keeps_its_scores_of_what_others_list():
    both = {"a": lists([5, 3]), "b": lists([3, 7])}
    found = merge(both, 10, voters=["a"])
    assert of(found, 0) == [5, 3]
    assert found.ranks.tolist() == [[0, -1], [1, 0]]
    assert of(merge(both, 10, voters=[]), 0) == []


def test_a_query_whose_candidates_are_all_filtered_gets_popular_items_and_is_counted():
    allowed = np.zeros(9, dtype=bool)
    allowed[[3, 7, 8]] = True
    cut = merge({"a": lists([5, 1], [3], [])}, 5, allowed=allowed)
    found = with_fallback(cut, np.array([8, 7, 3]), 2, [[8], [], []])
    assert cut.num_empty == 2
    assert [of(found, query) for query in range(3)] == [[7, 3], [3], [8, 7]]
    assert np.isnan(found.scores[found.query != 1]).all()
    assert (found.ranks[found.query != 1] == -1).all()
    assert found.scores[found.query == 1].tolist() == [[10]]
    assert of(with_fallback(merge({"a": lists([5])}, 5), np.array([8]), 2), 0) == [5]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 19), max_size=8, unique=True), min_size=1, max_size=5),
    st.integers(1, 12),
    st.lists(st.booleans(), min_size=20, max_size=20),
    st.sets(st.integers(0, 4)),
)
def test_one_query_has_the_candidates_it_has_beside_another(rows, limit, allowed, voters):
    of_one = {str(number): lists(row, width=8) for number, row in enumerate(rows)}
    of_two = {str(number): lists(row, [3, 4], width=8) for number, row in enumerate(rows)}
    names = {str(number) for number in voters}
    for let in (None, np.array(allowed)):
        alone = merge(of_one, limit, allowed=let, voters=names)
        beside = merge(of_two, limit, allowed=let, voters=names)
        own = beside.query == 0
        assert alone.item.tolist() == beside.item[own].tolist()
        assert (alone.query == 0).all()
        np.testing.assert_array_equal(alone.scores, beside.scores[own])
        np.testing.assert_array_equal(alone.ranks, beside.ranks[own])
