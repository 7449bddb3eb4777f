"""Figures of many weight vectors at once are those of the lists sorted by each."""

from dataclasses import replace

import numpy as np
import pytest

from genrec.rank.rerank.parts import aims
from genrec.rank.rerank.parts.evaluator import Evaluator
from genrec.rank.rerank.parts.figures import of_lists
from genrec.rank.rerank.parts.fused import by_weights
from genrec.rank.rerank.parts.lists import shown
from tests.support.rerank_tiny import lists

FIGURES = ("ndcg", "hr", "purchases", "earned_price", "new", "novelty", "diversity")


@pytest.mark.parametrize("outcome", ["logged", "chances"])
@pytest.mark.parametrize("vectors", [True, False])
def test_figures_are_those_of_the_sorted_lists(outcome, vectors):
    made = lists(num_users=40, width=14, seed=3, empty=0.0, vectors=vectors)
    made = made.rows(made.present.sum(axis=1) >= 4)
    if outcome == "chances":
        chance = np.random.default_rng(5).random(made.item.shape).astype(np.float32) * made.present
        made = replace(made, outcome={"next": chance, "purchase": chance * 0.4})
    names = aims.names_of(made)
    weights = np.random.default_rng(1).standard_normal((7, len(names)))
    weights[0] = np.eye(len(names))[0]
    figures = Evaluator(made, names, FIGURES, 4)(weights)
    columns, _ = aims.columns(made, names)
    for place, vector in enumerate(weights):
        order = by_weights(made, columns, np.tile(vector, (len(made), 1))).order
        expected = of_lists(made, shown(made, order, 4))
        for name in FIGURES:
            known = np.nan_to_num(expected[f"{name}@4"])
            assert figures[name][place] == pytest.approx(known.mean(), abs=1e-5), name


def test_equal_sums_keep_the_order():
    made = lists(num_users=30, empty=0.0)
    made = replace(made, score=np.zeros_like(made.score), aims={})
    names = ("relevance",)
    figures = Evaluator(made, names, ("hr",), 3)(np.ones((1, 1)))
    first = of_lists(made, shown(made, np.broadcast_to(np.arange(made.width), made.item.shape), 3))
    assert figures["ndcg"][0] == pytest.approx(first["ndcg@3"].mean())
    assert figures["hr"][0] == pytest.approx(first["hr@3"].mean())


def test_lists_without_an_outcome_are_refused():
    with pytest.raises(ValueError, match="outcome"):
        Evaluator(replace(lists(), outcome=None), ("relevance",), ("hr",), 3)
