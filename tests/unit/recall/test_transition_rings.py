"""Rings of the transition graph: known answers, and lists from a pool beside those from scores of all items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import ConfigError, DataError
from genrec.recall import transition_rings
from genrec.recall.parts import ring_lists
from genrec.recall.parts.ranking import rank, top_k
from genrec.recall.parts.scorer import Training
from genrec.recall.transition_rings import Rings, RingsOfMany
from genrec.recall.transitions import transition_weights
from tests.support.recall_tiny import fitted

# 0 -> 1 (twice), 0 -> 2, 0 -> 3, 1 -> 4, 4 -> 5; item 6 was never bought
SEQUENCES = [np.array(s, dtype=np.int32) for s in ([0, 1], [0, 1, 4, 5], [0, 2], [0, 3])]
ANGLES = np.radians([0, 80, 60, 20, 40, 10, 5])  # cosine to item 0 falls with the angle
VECTORS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)


def listed(history, drop_seen=True, **options):
    scorer = fitted("transition_rings", data=Training(SEQUENCES, 7, vectors=VECTORS), **options)
    return rank(scorer, [np.array(history)], 7, drop_seen)[0][0].tolist()


def test_rings_fill_their_budgets_in_order_and_by_similarity():
    # ring 1: {3, 2, 1}, ring 2: {4}, ring 3: {5}; behind the budgets what ring 1 has left, then the rest
    assert listed([0], budgets=[[2, 1, 1]], edge_weight=0.0) == [3, 2, 4, 5, 1, 6, -1]
    assert listed([0], budgets=[[1, 0, 1]], edge_weight=0.0) == [3, 5, 2, 1, 4, 6, -1]


def test_frequent_edges_count_in_the_first_ring():
    # item 1: cos 80 + w; items 2 and 3: log 2 / log 3 of w
    assert listed([0], budgets=[[3]], edge_weight=0.5)[:3] == [3, 2, 1]
    assert listed([0], budgets=[[3]], edge_weight=3.0)[:3] == [1, 3, 2]


def test_items_of_the_history_take_no_place_of_a_budget():
    # around 0, the last item: 3 is seen, so 2 and 1 fill the budget of two
    assert listed([3, 0], budgets=[[2, 1]], edge_weight=0.0)[:3] == [2, 1, 4]
    assert listed([3, 0], drop_seen=False, budgets=[[2, 1]], edge_weight=0.0)[:4] == [3, 2, 1, 4]


def test_a_second_source_lists_what_the_first_did_not():
    # around 4: {5}; around 0, the item before it: 3 is the nearest, then 2
    assert listed([0, 4], budgets=[[1], [2]], edge_weight=0.0)[:3] == [5, 3, 2]
    # around 0: {3, 2, 1}, with 3 listed; around 1: {4}
    assert listed([1, 0], budgets=[[1], [1]], edge_weight=0.0)[:4] == [3, 4, 2, 6]


def test_an_item_without_followers_gets_its_neighbours_by_text():
    assert listed([6], budgets=[[7, 2, 1]]) == [5, 0, 3, 4, 2, 1, -1]


def test_budgets_without_places_are_refused():
    for budgets in ([], [[]], [[3, -1]]):
        with pytest.raises(ConfigError, match="transition_rings: budgets"):
            listed([0], budgets=budgets)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    budgets=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=3),
    edge_weight=st.sampled_from([0.0, 0.5, 4.0]),
)
def test_one_history_gets_the_list_it_gets_beside_others(seed, budgets, edge_weight):
    if not any(map(sum, budgets)):
        budgets[0][0] = 1
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(0, 15, rng.integers(1, 8)).astype(np.int32) for _ in range(20)]
    vectors = rng.standard_normal((16, 5)).astype(np.float32)  # no two candidates are alike to a source
    data = Training(sequences, 16, vectors=vectors)
    scorer = fitted("transition_rings", data=data, budgets=budgets, edge_weight=edge_weight)
    histories = [rng.integers(0, 16, size) for size in (1, 2, 6)] + [np.empty(0, np.int64)]
    for banned in (None, [rng.integers(0, 16, 2) for _ in histories]):
        items, values = scorer.top(histories, 12, banned)
        for row, history in enumerate(histories):
            alone = scorer.top([history], 12, None if banned is None else [banned[row]])
            np.testing.assert_array_equal(alone[0][0], items[row])
            np.testing.assert_allclose(alone[1][0], values[row], rtol=1e-5)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    budgets=st.sampled_from([((7, 2, 1),), ((5, 1), (3, 1)), ((10,),), ((0, 3), (2,))]),
    edge_weight=st.sampled_from([0.0, 0.5, 4.0]),
    walked=st.sampled_from([0, 10, 1 << 17]),
    tried=st.sampled_from([1, 16, 256]),
)
def test_lists_of_a_large_catalogue_are_those_of_its_scores(seed, budgets, edge_weight, walked, tried):
    rng = np.random.default_rng(seed)
    num_items, num_sequences = int(rng.integers(3, 300)), int(rng.integers(1, 400))
    # The first items are popular, so that rings hold more items than a list.
    sequences = [(num_items * rng.random(rng.integers(1, 12)) ** 2).astype(int) for _ in range(num_sequences)]
    # Many values are equal, and none is rounded.
    vectors = rng.integers(-4, 5, (num_items, 3)).astype(np.float32) / 8
    given_ = transition_weights(sequences, num_items, 1), vectors, transition_rings.Config(budgets, edge_weight)
    histories = [rng.integers(0, num_items, rng.integers(0, 9)) for _ in range(12)]
    n = int(rng.integers(1, 5 if seed % 2 else num_items + 1))
    n = min(n, num_items)
    before = ring_lists._EDGES, ring_lists._TRIED
    ring_lists._EDGES, ring_lists._TRIED = walked, tried
    try:
        found = RingsOfMany(*given_).best(histories, n)
    finally:
        ring_lists._EDGES, ring_lists._TRIED = before
    wanted = top_k(Rings(*given_).scores(histories), n)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-6)


def test_a_large_catalogue_is_ranked_from_a_pool_also_after_loading(monkeypatch, tmp_path):
    monkeypatch.setattr(transition_rings, "_POOLED_ABOVE", 6)
    scorer = fitted("transition_rings", data=Training(SEQUENCES, 7, vectors=VECTORS))
    scorer.save(tmp_path)
    for one in (scorer, transition_rings.load(tmp_path), scorer.with_options(transition_rings.Config())):
        assert isinstance(one, RingsOfMany)
    assert listed([0], budgets=[[2, 1, 1]], edge_weight=0.0) == [3, 2, 4, 5, 1, 6, -1]


def test_text_vectors_that_are_not_finite_are_refused():
    vectors = VECTORS.copy()
    vectors[2] = np.nan
    edges = transition_weights(SEQUENCES, 7, 1)
    for kind in (Rings, RingsOfMany):
        with pytest.raises(DataError, match="text vectors are not finite"):
            kind(edges, vectors, transition_rings.Config())
