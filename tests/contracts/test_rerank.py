"""Promises that every re-ranker keeps."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec import variants
from genrec.rank.rerank import PACKAGE
from genrec.rank.rerank.parts.lists import Lists, shown
from tests.support.rerank_tiny import SMALL, any_lists, lists, paying

NAMES = variants.names(PACKAGE)
RULES = [
    {"action": "boost", "new": True, "places": 2},
    {"action": "bury", "in_stock": False},
    {"action": "pin", "category": "category 1", "at": 2, "count": 2},
]
OPTIONS = {
    **SMALL,
    "caps": {"category": 2, "brand": 2, "spread": 1},
    "rules": {"rules": RULES},
    "mmr": {"relevance_weight": 0.5},
    "dpp": {"relevance_weight": 0.5},
}
KEEPS_ORDER = {
    "mmr": {"relevance_weight": 1.0},
    "dpp": {"relevance_weight": 1.0},
    "caps": {"category": 0, "brand": 0},
    "rules": {"rules": []},
}


def tuned(name, on: Lists | None = None, k: int = 5, seed: int = 0, **options):
    module, config = variants.build(PACKAGE, name, options or OPTIONS.get(name, {}))
    return module.tune(paying(200) if on is None else on, config, k, seed)


@pytest.fixture(scope="module")
def rerankers():
    pytest.importorskip("stable_baselines3")
    return {name: tuned(name) for name in NAMES}


def test_the_rerankers_are_found_by_listing_the_package():
    assert set(NAMES) == {"fusion", "ddpg", "mmr", "dpp", "caps", "rules"}


@settings(max_examples=25, deadline=None)
@given(made=any_lists(), k=st.integers(1, 15))
@pytest.mark.parametrize("name", NAMES)
def test_every_list_is_a_permutation_of_its_candidates(rerankers, name, made, k):
    result = rerankers[name].rerank(made, k)
    assert np.array_equal(np.sort(result.order, axis=1), np.broadcast_to(np.arange(made.width), made.item.shape))
    listed = np.take_along_axis(made.present, result.order, axis=1)
    assert (np.diff(listed.astype(int), axis=1) <= 0).all(), "those without an item stand last"
    after = made.reordered(result)
    assert (np.diff(after.score, axis=1) <= 0).all()
    assert np.isfinite(after.score).all()
    first = shown(made, result.order, k)
    assert first.shape == (len(made), k)
    assert ((first >= 0).sum(axis=1) == np.minimum(made.present.sum(axis=1), k)).all()


@settings(max_examples=25, deadline=None)
@given(made=any_lists(), k=st.integers(1, 15))
@pytest.mark.parametrize("name", sorted(KEEPS_ORDER))
def test_options_that_ask_for_nothing_keep_the_order(name, made, k):
    order = tuned(name, made, k, **KEEPS_ORDER[name]).rerank(made, k).order
    assert np.array_equal(order, np.broadcast_to(np.arange(made.width), made.item.shape))


@pytest.mark.parametrize("name", NAMES)
def test_lists_do_not_depend_on_the_users_beside_them(rerankers, name):
    made = lists(num_users=7)
    together = rerankers[name].rerank(made, 5).order
    alone = np.concatenate([rerankers[name].rerank(made.rows(slice(u, u + 1)), 5).order for u in range(7)])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("name", NAMES)
def test_same_lists_and_seed_give_the_same_state(rerankers, name):
    assert json.dumps(tuned(name).state()) == json.dumps(rerankers[name].state())


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_reranker_gives_the_same_lists(rerankers, name):
    module, config = variants.build(PACKAGE, name, OPTIONS.get(name, {}))
    restored = module.restore(json.loads(json.dumps(rerankers[name].state())), config)
    made = lists(num_users=20)
    assert np.array_equal(restored.rerank(made, 5).order, rerankers[name].rerank(made, 5).order)


@pytest.mark.parametrize("name", NAMES)
def test_aims_features_and_vectors_may_be_missing_at_serving(rerankers, name):
    made = lists(num_users=9, vectors=False)
    bare = Lists(item=made.item, score=made.score, aims={}, facts=made.facts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = rerankers[name].rerank(bare, 5)
        none = rerankers[name].rerank(bare.rows(slice(0, 0)), 5)
    assert np.array_equal(np.sort(result.order, axis=1), np.broadcast_to(np.arange(made.width), made.item.shape))
    assert none.order.shape == (0, made.width)
    if name == "fusion":
        assert result.warnings["no aim purchase"] == len(made)


@pytest.mark.parametrize("name", NAMES)
def test_lists_of_nothing_stay_lists_of_nothing(rerankers, name):
    made = lists(num_users=3)
    nothing = Lists(np.full_like(made.item, -1), np.zeros_like(made.score), dict(made.aims), made.facts, made.user)
    assert (shown(nothing, rerankers[name].rerank(nothing, 4).order, 4) == -1).all()
