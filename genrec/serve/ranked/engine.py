"""The engine whose lists are ranked: one search for the generator's candidates, for what the features know of it, and for
what follows the candidates.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.errors import GenrecError
from genrec.model.policy import Policy
from genrec.recall.parts.generator import Generator
from genrec.search.decode import StepScores
from genrec.search.restriction import Allowed
from genrec.serve.catalogue import Catalogue
from genrec.serve.engine import Engine
from genrec.serve.ranked.lists import FAILED, ListRanking


class RankedEngine(Engine):
    """As `Engine`, with a ranking over its lists; popular items for histories without a known item stay as they are."""

    def __init__(
        self, policy: Policy, catalogue: Catalogue, model_key: str, *, ranking: ListRanking, **limits: Any
    ) -> None:
        """`limits`: the other arguments of `Engine`."""
        self.ranking = ranking
        super().__init__(policy, catalogue, model_key, **(limits | {"recorded": False}))
        self._generator = Generator(policy, catalogue.sids, self.scores, self._trie)

    def warm_up(self) -> None:
        """As `Engine.warm_up`. Raises GenrecError besides where ranking fails."""
        super().warm_up()
        if self.ranking.counted[FAILED]:
            raise GenrecError(
                "the ranking of this model fails, as the log says; compute the stage rank again, or set service.rank=false"
            )

    def rank(
        self,
        histories: Sequence[NDArray[np.integer]],
        k: int,
        banned: Sequence[NDArray[np.integer]] | None = None,
        allowed: Sequence[Allowed] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """As `Engine.rank`, in the order of the ranking; scores are those of `genrec.serve.ranked.lists`."""
        items = np.full((len(histories), k), -1, dtype=np.int64)
        scores = np.full((len(histories), k), -np.inf, dtype=np.float32)
        lengths = np.minimum([len(history) for history in histories], self.policy.max_history)
        order = np.argsort(lengths, kind="stable")  # like lengths together: little padding
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            items[rows], scores[rows] = self._ranked(
                [histories[row] for row in rows],
                k,
                None if banned is None else [banned[row] for row in rows],
                None if allowed is None else [allowed[row] for row in rows],
            )
        return items, scores

    def _ranked(
        self,
        histories: Sequence[NDArray[np.integer]],
        k: int,
        banned: Sequence[NDArray[np.integer]] | None,
        allowed: Sequence[Allowed] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        width = self._width(k)
        found = self._generator.search(
            histories,
            width,
            banned,
            allowed=allowed,
            split=lambda lengths: self._split(lengths, width),
            keep_reads=True,
        )
        return self.ranking.lists(self._generator, found, histories, k, self.catalogue, banned, allowed)

    @property
    def _least_width(self) -> int:
        return max(self.beam_width, self.ranking.num_beams)

    def _over(self, policy: Policy, catalogue: Catalogue, scores: StepScores | None) -> "RankedEngine":
        return RankedEngine(policy, catalogue, self.model_key, ranking=self.ranking, scores=scores, **self._limits)
