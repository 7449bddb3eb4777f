"""What a ranking says of samples, computed once, however many ask."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.rank.calibration import Curve
from genrec.rank.samples import Samples


class Scorer(Protocol):
    """A fitted ranking: by folds, or the mean of their models."""

    @property
    def curve(self) -> Curve:
        """From scores to probabilities."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """What `task_scores` tells apart."""

    def scores(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R]; comparable within a list."""
        ...

    def task_scores(self, samples: Samples) -> Mapping[str, NDArray[np.float32]]:
        """The same by task."""
        ...


@dataclass(frozen=True)
class Scored:
    """R samples as a ranking sees them; each value is computed when it is first asked for."""

    ranking: Scorer
    samples: Samples

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """float32 [R]; comparable within a list."""
        return self.ranking.scores(self.samples)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """How likely each candidate is the next item, float32 [R]."""
        return self.ranking.curve.probability(self.scores)

    @cached_property
    def by_task(self) -> Mapping[str, NDArray[np.float32]]:
        """What the ranking says by task, float32 [R] each."""
        return self.ranking.task_scores(self.samples)
