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

from genrec.rank.rerank.parts.greedy import Greedy, similarity_to
from genrec.rank.rerank.parts.lists import Floats, Ints, Lists
from genrec.variants import setting

REDUNDANT = 1e-6  # of a squared diagonal entry of the factor, which starts at 1: the item adds no volume


@dataclass(frozen=True)
class Config:
    """DPP."""

    relevance_weight: float = setting(
        0.8, "Weight of relevance against volume: 1 keeps the order, 0 looks at volume alone.", ge=0, le=1
    )


def tune(lists: Lists, options: Config, k: int, seed: int) -> Greedy:
    """Nothing is learned."""
    return Greedy(Worth, options.relevance_weight)


def restore(state: dict[str, Any], options: Config) -> Greedy:
    """From what it learned, which is nothing."""
    return Greedy(Worth, options.relevance_weight)


class Worth:
    """Relevance and the volume that a candidate adds to the chosen ones.

    vectors: float32 [u, C, V], unit rows; a row of zeros is half alike to every other.
    """

    def __init__(self, relevance: Floats, vectors: Floats, weight: float) -> None:
        self.relevance, self.vectors, self.weight = relevance, vectors, weight
        self._factor: list[NDArray[np.float64]] = []  # c_i of the paper, [u, C] a step
        self._left_over = np.ones(relevance.shape)  # d_i ** 2

    def values(self) -> NDArray[np.float64]:
        """float64 [u, C]."""
        return self.weight * self.relevance + (1 - self.weight) * np.log(np.maximum(self._left_over, REDUNDANT))

    def take(self, pick: Ints) -> None:
        """Column pick[u] of each list is chosen."""
        rows = np.arange(len(pick))
        similarity = (1 + similarity_to(self.vectors, pick)) / 2
        similarity[rows, pick] = 1
        own = self._left_over[rows, pick]
        known = sum((step * step[rows, pick][:, None] for step in self._factor), np.zeros(similarity.shape))
        new = (similarity - known) / np.sqrt(np.maximum(own, REDUNDANT))[:, None]
        new[own < REDUNDANT] = 0  # it adds no volume, so that it takes none from the others
        self._factor.append(new)
        self._left_over = np.maximum(self._left_over - new**2, 0)
