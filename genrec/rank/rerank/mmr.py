"""Maximal marginal relevance: each place goes to what is relevant and unlike the items above it.

Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries"
(SIGIR 1998): the candidate with the greatest relevance_weight * relevance - (1 - relevance_weight) * its greatest cosine
similarity to an item that is chosen. Relevance is the list's score, scaled to 0..1 within each list.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts.lists import Floats, Ints, Lists, Reordered, by_place
from genrec.rank.rerank.parts.similarity import scaled_relevance, unit_vectors
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """MMR."""

    relevance_weight: float = setting(
        0.8, "Weight of relevance against similarity: 1 keeps the order, 0 looks at similarity alone.", ge=0, le=1
    )


def tune(lists: Lists, options: Config, k: int, seed: int) -> "Mmr":
    """Nothing is learned."""
    return Mmr(options)


def restore(state: dict[str, Any], options: Config) -> "Mmr":
    """From `Mmr.state`."""
    return Mmr(options)


class Mmr:
    """A re-ranker."""

    def __init__(self, options: Config) -> None:
        self.options = options

    def rerank(self, lists: Lists, k: int) -> Reordered:
        """The first k places chosen one by one; ties go to what stood first."""
        place = np.full(lists.item.shape, -1, dtype=np.int64)
        relevance, present = scaled_relevance(lists), lists.present
        for rows, vectors in unit_vectors(lists):
            place[rows] = _chosen(relevance[rows], vectors, present[rows], k, self.options.relevance_weight)
        return Reordered(by_place(place, present))

    def state(self) -> dict[str, Any]:
        """Nothing is learned."""
        return {}


def _chosen(relevance: Floats, vectors: Floats, present: NDArray[np.bool_], k: int, weight: float) -> Ints:
    """The place of every candidate, int64 [u, C], -1 where it is not among the first k."""
    place = np.full(relevance.shape, -1, dtype=np.int64)
    closest, rows = np.zeros_like(relevance), np.arange(len(relevance))
    for number in range(min(k, relevance.shape[1])):
        value = np.where(present & (place < 0), weight * relevance - (1 - weight) * closest, -np.inf)
        pick = value.argmax(axis=1)
        left = np.isfinite(value[rows, pick])
        place[rows[left], pick[left]] = number
        similarity = np.einsum("ucv,uv->uc", vectors, vectors[rows, pick])
        closest = similarity if number == 0 else np.maximum(closest, similarity)
    return place
