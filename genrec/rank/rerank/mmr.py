"""Maximal marginal relevance: each place goes to what is relevant and unlike the items above it.

Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries"
(SIGIR 1998): the candidate with the greatest relevance_weight * relevance - (1 - relevance_weight) * its greatest cosine
similarity to an item that is chosen. Relevance is the list's score, scaled to 0..1 within each list.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genrec.rank.rerank.parts.greedy import Greedy, similarity_to
from genrec.rank.rerank.parts.lists import Floats, Ints, Lists
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """MMR."""

    relevance_weight: float = setting(
        0.8, "Weight of relevance against similarity: 1 keeps the order, 0 looks at similarity alone.", ge=0, le=1
    )


def tune(lists: Lists, options: Config, k: int, seed: int) -> Greedy:
    """Nothing is learned."""
    return Greedy(Worth, options.relevance_weight)


def restore(state: dict[str, Any], options: Config) -> Greedy:
    """From what it learned, which is nothing."""
    return Greedy(Worth, options.relevance_weight)


class Worth:
    """Relevance less the greatest similarity to a chosen item, 0 where none is."""

    def __init__(self, relevance: Floats, vectors: Floats, weight: float) -> None:
        self.relevance, self.vectors, self.weight = relevance, vectors, weight
        self._closest: Floats | None = None

    def values(self) -> Floats:
        """float32 [u, C]."""
        closest = np.zeros_like(self.relevance) if self._closest is None else self._closest
        return self.weight * self.relevance - (1 - self.weight) * closest

    def take(self, pick: Ints) -> None:
        """Column pick[u] of each list is chosen."""
        similarity = similarity_to(self.vectors, pick)
        self._closest = similarity if self._closest is None else np.maximum(self._closest, similarity)
