"""The fusion finds weights that pay, within what NDCG may cost, and keeps the front of what it looked at."""

from dataclasses import replace

import numpy as np
import pytest

from genrec import variants
from genrec.errors import GenrecError
from genrec.rank.rerank import fusion
from genrec.rank.rerank.parts import search
from genrec.rank.rerank.parts.figures import of_lists
from genrec.rank.rerank.parts.goal import not_dominated
from genrec.rank.rerank.parts.lists import shown
from tests.support.rerank_tiny import PACKAGE, paying

METHODS = ("cem", "pso", "one_plus_one", "portfolio")


def tuned(on, seed=0, **options):
    config = variants.build(PACKAGE, "fusion", {"evaluations": 300, **options})[1]
    return fusion.tune(on, config, 5, seed)


def means(on, reranker):
    found = of_lists(on, shown(on, reranker.rerank(on, 5).order, 5))
    return {name.partition("@")[0]: values.mean() for name, values in found.items()}


@pytest.mark.parametrize("method", METHODS)
def test_a_search_finds_what_pays_within_what_ndcg_may_cost(method):
    pytest.importorskip("nevergrad")
    on = paying()
    before, after = (
        means(on, fusion.Fusion(("relevance",), {"global": np.ones(1)})),
        means(on, tuned(on, search=method)),
    )
    assert after["purchases"] > 1.04 * before["purchases"]
    assert after["ndcg"] >= 0.99 * before["ndcg"]


def test_more_is_gained_where_ndcg_may_cost_more():
    on = paying()
    gained = [means(on, tuned(on, search="cem", max_ndcg_loss=loss))["purchases"] for loss in (0.0, 0.2)]
    assert gained[1] > gained[0]


def test_lists_stay_as_they_are_where_there_is_nothing_to_gain():
    on = paying()
    none = {"next": on.outcome["next"], "purchase": np.zeros_like(on.outcome["next"])}
    found = tuned(replace(on, outcome=none), search="cem")
    assert found.weights["global"].tolist() == [1, 0, 0, 0]
    assert found.warnings["nothing to gain in purchases"] == 1
    assert (found.rerank(on, 5).order == np.arange(on.width)).all()


def test_a_segment_with_enough_lists_has_weights_of_its_own():
    on = paying()
    segment = np.where(np.arange(len(on)) < 390, 0, 1)
    half = np.where(np.arange(len(on)) < 390, 1, -1)[:, None]
    chance = np.where(half > 0, on.aims["purchase"], 1 - on.aims["purchase"])
    on = replace(on, segment=segment, aims={**on.aims, "purchase": chance.astype(np.float32)})
    found = tuned(on, search="cem", by_segment=True, min_segment=100)
    assert set(found.weights) == {"global", "0"}
    others = replace(on, segment=np.full(len(on), 7))
    alone = fusion.Fusion(found.names, {"global": found.weights["global"]})
    assert (found.rerank(others, 5).order == alone.rerank(others, 5).order).all()


def test_the_front_holds_no_point_that_another_one_beats():
    front = tuned(paying(), search="cem", aims={"purchase": 1.0, "novelty": 0.5}).front
    points = np.array(front["points"])
    assert front["figures"] == ["ndcg", "purchases", "novelty"]
    assert not_dominated(points).all()
    assert len(points) == len(front["weights"])
    for name in ("before", "chosen", "equal"):
        assert len(front[name]) == 3
    assert not any((np.array(front["before"]) >= p).all() and (np.array(front["before"]) > p).any() for p in points)


def test_not_dominated_points_by_hand():
    points = np.array([[1, 1], [2, 0], [0, 2], [1, 0], [1, 1], [0, 0]], dtype=float)
    assert not_dominated(points).tolist() == [True, True, True, False, False, False]


def test_without_its_library_a_search_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nevergrad", None)
    with pytest.raises(GenrecError, match=r"genrec\[rerank\]"):
        search.search("pso", lambda w: w.sum(axis=1), np.zeros(2), bound=1.0, budget=10, seed=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_stays_within_bounds_and_budget_and_comes_near_the_optimum(method):
    pytest.importorskip("nevergrad")
    seen = []

    def score(weights):
        seen.append(weights)
        return -((weights - np.array([0.5, -0.3, 0.9])) ** 2).sum(axis=1)

    best = search.search(method, score, np.zeros(3), bound=1.0, budget=600, seed=1)
    tried = np.concatenate(seen)
    assert np.abs(tried).max() <= 1
    assert 600 <= len(tried) <= 603, "the start is looked at beside the budget"
    assert best == pytest.approx([0.5, -0.3, 0.9], abs=0.3)
