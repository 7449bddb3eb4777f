"""Determinantal point process: the list whose items are relevant and span the most volume, chosen greedily.

Chen, Zhang and Zhou, "Fast greedy MAP inference for determinantal point process to improve recommendation diversity"
(NeurIPS 2018, arXiv 1709.05135), algorithm 1, with the trade-off of section 4.3: log P = relevance_weight * sum of
relevance + (1 - relevance_weight) * log det S. S is (1 + cosine similarity) / 2 of the item vectors, so that it is
positive semidefinite and never negative. A greedy step takes the candidate with the greatest gain; the log determinant's
part of it comes from an incremental Cholesky factor, O(k C) a list and step.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts.lists import Floats, Ints, Lists, Reordered, by_place
from genrec.rank.rerank.parts.similarity import scaled_relevance, unit_vectors
from genrec.variants import setting

REDUNDANT = 1e-6  # of a squared diagonal entry of the factor, which starts at 1: the item adds no volume


@dataclass(frozen=True)
class Config:
    """DPP."""

    relevance_weight: float = setting(
        0.8, "Weight of relevance against volume: 1 keeps the order, 0 looks at volume alone.", ge=0, le=1
    )


def tune(lists: Lists, options: Config, k: int, seed: int) -> "Dpp":
    """Nothing is learned."""
    return Dpp(options)


def restore(state: dict[str, Any], options: Config) -> "Dpp":
    """From `Dpp.state`."""
    return Dpp(options)


class Dpp:
    """A re-ranker."""

    def __init__(self, options: Config) -> None:
        self.options = options

    def rerank(self, lists: Lists, k: int) -> Reordered:
        """The first k places chosen one by one; ties go to what stood first."""
        place = np.full(lists.item.shape, -1, dtype=np.int64)
        relevance, present = scaled_relevance(lists), lists.present
        for rows, vectors in unit_vectors(lists):
            place[rows] = greedy(relevance[rows], vectors, present[rows], k, self.options.relevance_weight)
        return Reordered(by_place(place, present))

    def state(self) -> dict[str, Any]:
        """Nothing is learned."""
        return {}


def greedy(relevance: Floats, vectors: Floats, present: NDArray[np.bool_], k: int, weight: float) -> Ints:
    """The place of every candidate, int64 [u, C], -1 where it is not among the first k.

    relevance: float32 [u, C]. vectors: float32 [u, C, V], unit rows; a row of zeros is half alike to every other.
    """
    num_rows, width = relevance.shape
    steps = min(k, width)
    place, rows = np.full(relevance.shape, -1, dtype=np.int64), np.arange(num_rows)
    factor = np.zeros((num_rows, steps, width))  # c_i of the paper, a row a step
    left_over = np.ones((num_rows, width))  # d_i ** 2
    for number in range(steps):
        gain = weight * relevance + (1 - weight) * np.log(np.maximum(left_over, REDUNDANT))
        gain = np.where(present & (place < 0), gain, -np.inf)
        pick = gain.argmax(axis=1)
        left = np.isfinite(gain[rows, pick])
        place[rows[left], pick[left]] = number
        similarity = (1 + np.einsum("ucv,uv->uc", vectors, vectors[rows, pick])) / 2
        similarity[rows, pick] = 1
        own = left_over[rows, pick]
        known = np.einsum("usc,us->uc", factor[:, :number], factor[rows, :number, pick])
        new = (similarity - known) / np.sqrt(np.maximum(own, REDUNDANT))[:, None]
        new[own < REDUNDANT] = 0  # it adds no volume, so that it takes none from the others
        factor[:, number] = new
        left_over = np.maximum(left_over - new**2, 0)
    return place
