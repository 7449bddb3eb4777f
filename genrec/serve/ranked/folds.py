"""The mean of the models of all folds: what ranks users whom none of them learned from, and those whom most of them did.

A request names no user of the training data, so no fold is its own. The figures of the report are those of single folds,
each on users that it has not learned from.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.rank.calibration import Curve
from genrec.rank.rankers.parts.few_rows import FewRows, joined
from genrec.rank.rankers.parts.ranker import Ranker
from genrec.rank.ranking import Ranking
from genrec.rank.samples import Samples


@dataclass(frozen=True)
class MeanOfFolds:
    """Scores of R candidates as the mean over models; called as `genrec.rank.ranking.Ranking` is."""

    rankers: tuple[Ranker, ...]
    curve: Curve

    @classmethod
    def of(cls, ranking: Ranking) -> "MeanOfFolds":
        """All models of a ranking."""
        return cls(tuple(ranking.rankers), ranking.curve)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of `task_scores`."""
        return self.rankers[0].tasks

    @property
    def names(self) -> tuple[str, ...]:
        """The features that the models learned, the same for all of them."""
        return self.rankers[0].inputs.names

    def scores(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R]; comparable within a list."""
        if self._compiled is not None:
            return self._compiled.sums(self.rankers[0].inputs.matrix(samples)).astype(np.float32)
        return np.mean([ranker.scores(samples) for ranker in self.rankers], axis=0, dtype=np.float32)

    def task_scores(self, samples: Samples) -> Mapping[str, NDArray[np.float32]]:
        """The same by task."""
        by_fold = [ranker.task_scores(samples) for ranker in self.rankers]
        return {name: np.mean([found[name] for found in by_fold], axis=0, dtype=np.float32) for name in by_fold[0]}

    @functools.cached_property
    def _compiled(self) -> FewRows | None:
        """The trees of all models, looked at together; None for other models."""
        models = [getattr(ranker, "compiled", None) for ranker in self.rankers]
        return joined(models, [1 / len(models)] * len(models))
