"""MMR takes relevance less the greatest similarity to what is chosen."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.rank.rerank import mmr
from genrec.rank.rerank.parts.lists import ItemFacts, Lists
from tests.support.rerank_tiny import any_lists


def test_a_copy_of_the_first_item_waits_for_one_that_differs():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    facts = ItemFacts(np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64), vectors=vectors)
    made = Lists(np.array([[0, 1, 2]]), np.array([[3.0, 2.5, 1.0]], dtype=np.float32), {}, facts)
    assert mmr.restore({}, mmr.Config(0.5)).rerank(made, 3).order.tolist() == [[0, 2, 1]]
    assert mmr.restore({}, mmr.Config(1.0)).rerank(made, 3).order.tolist() == [[0, 1, 2]]


@settings(max_examples=40, deadline=None)
@given(made=any_lists(), k=st.integers(1, 13), weight=st.floats(0, 1))
def test_the_places_are_those_of_the_definition(made, k, weight):
    order = mmr.restore({}, mmr.Config(weight)).rerank(made, k).order
    for row in range(len(made)):
        left = np.flatnonzero(made.present[row]).tolist()
        vectors, score = _vectors(made, row), made.score[row]
        spread = score.max() - score.min()
        relevance = (score - score.min()) / spread if spread > 0 else np.ones_like(score)
        chosen: list[int] = []
        while left and len(chosen) < k:
            value = [
                weight * relevance[i] - (1 - weight) * max((float(vectors[i] @ vectors[j]) for j in chosen), default=0)
                for i in left
            ]
            given = left.index(int(order[row, len(chosen)]))
            assert value[given] >= max(value) - 1e-5
            chosen.append(left.pop(given))


def _vectors(made: Lists, row: int) -> np.ndarray:
    if made.facts.vectors is None:
        category = made.facts.category[made.item[row]]
        return (np.arange(-1, 10) == category[:, None])[:, 1:].astype(float)
    found = made.facts.vectors[made.item[row]]
    return found / np.linalg.norm(found, axis=1, keepdims=True)
