"""Lists that are chosen place by place: what a candidate is worth depends on what stands above it."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts.lists import Floats, Ints, Lists, Reordered, by_place
from genrec.rank.rerank.parts.similarity import scaled_relevance, unit_vectors


class Worth(Protocol):
    """What the candidates of u lists are worth beside those that are chosen."""

    def values(self) -> NDArray[np.floating]:
        """[u, C]: the greatest is chosen next."""
        ...

    def take(self, pick: Ints) -> None:
        """Column pick[u] of each list is chosen."""
        ...


class Rule(Protocol):
    """Starts with nothing chosen, for lists of these scaled scores [u, C] and unit vectors [u, C, V]."""

    def __call__(self, relevance: Floats, vectors: Floats, weight: float, /) -> Worth: ...


class Greedy:
    """A re-ranker that learns nothing: the first places chosen one by one by a rule.

    relevance_weight: of the score, scaled to 0..1 within each list, against what the rule says of the chosen ones.
    """

    def __init__(self, rule: Rule, relevance_weight: float) -> None:
        self.rule, self.relevance_weight = rule, relevance_weight

    def rerank(self, lists: Lists, k: int) -> Reordered:
        """The first k places chosen one by one; ties go to what stood first."""
        place = np.full(lists.item.shape, -1, dtype=np.int64)
        relevance, present = scaled_relevance(lists), lists.present
        for rows, vectors in unit_vectors(lists):
            place[rows] = chosen(self.rule(relevance[rows], vectors, self.relevance_weight), present[rows], k)
        return Reordered(by_place(place, present))

    def state(self) -> dict[str, Any]:
        """Nothing is learned."""
        return {}


def chosen(worth: Worth, present: NDArray[np.bool_], k: int) -> Ints:
    """The place of every candidate, int64 [u, C], -1 where it is not among the first k; `present` bool [u, C]."""
    place, rows = np.full(present.shape, -1, dtype=np.int64), np.arange(len(present))
    for number in range(min(k, present.shape[1])):
        value = np.where(present & (place < 0), worth.values(), -np.inf)
        pick = value.argmax(axis=1)
        left = np.isfinite(value[rows, pick])
        place[rows[left], pick[left]] = number
        worth.take(pick)
    return place


def similarity_to(vectors: Floats, pick: Ints) -> Floats:
    """float32 [u, C]: cosine of all candidates and the one of column pick[u], by unit vectors [u, C, V]."""
    return np.einsum("ucv,uv->uc", vectors, vectors[np.arange(len(pick)), pick])
