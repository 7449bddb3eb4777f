"""Features of a request, as the ranker learned them.

What a request does not tell, such as the times of its events, and what the ranker learned and is not computed here, is
missing. A model that has never seen a feature missing would take that for some value of its own choice; it gets the
typical value of validation in its place, and that is counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.rank.retrieval import Retrieved
from genrec.rank.samples import Samples


class ServedFeatures:
    """Samples of candidates with the features `names`; `typical` values by name, of those that stand in
    for what is missing."""

    def __init__(self, names: Sequence[str], typical: Mapping[str, float]) -> None:
        self.names, self.counted = tuple(names), Counter[str]()
        self._typical = np.array([typical.get(name, np.nan) for name in self.names], dtype=np.float32)
        self._never_missing = np.isfinite(self._typical)

    def samples(self, retrieved: Retrieved) -> Samples:
        """The candidates of all queries; labels are 0, weights 1, and the users are the queries."""
        candidates = retrieved.candidates
        return Samples(
            names=self.names,
            features=self._filled(self._matrix(retrieved)),
            user=candidates.query,
            item=candidates.item,
            label=np.zeros(len(candidates), dtype=np.float32),
            tasks={},
            weight=np.ones(len(candidates), dtype=np.float32),
            query=candidates.query,
        )

    def _matrix(self, retrieved: Retrieved) -> NDArray[np.float32]:
        """float32 [R, F], NaN where missing; a column's values are neighbours."""
        found = retrieved.columns()
        matrix = np.empty((len(self.names), len(retrieved.candidates)), dtype=np.float32)
        for row, name in zip(matrix, self.names, strict=True):
            row[:] = found.get(name, np.nan)
        return matrix.T

    def _filled(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        unusual = ~np.isfinite(matrix)
        unusual &= self._never_missing
        if not unusual.any():
            return matrix
        for column in np.flatnonzero(unusual.any(axis=0)).tolist():
            self.counted[self.names[column]] += int(unusual[:, column].sum())
        return np.where(unusual, self._typical, matrix)
