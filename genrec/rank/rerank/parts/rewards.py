"""Figures of single lists under weights of their own, as rewards of a policy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts import aims
from genrec.rank.rerank.parts.figures import of_lists
from genrec.rank.rerank.parts.fused import by_weights
from genrec.rank.rerank.parts.lists import Ints, Lists, shown


class ListFigures:
    """Figures of lists [U] sorted by weights that differ from list to list."""

    def __init__(self, lists: Lists, names: Sequence[str], figures: Sequence[str], k: int) -> None:
        if lists.outcome is None:
            raise ValueError("lists without an outcome cannot be evaluated")
        self.lists, self.k, self.figures = lists, k, tuple(figures)
        self.columns, self.warnings = aims.columns(lists, names)
        first = np.broadcast_to(np.arange(lists.width), lists.item.shape)
        self.unchanged = self._of(lists, shown(lists, first, k))  # of the lists as they came, float64 [U] each
        self.num_evaluated = 0

    def __call__(self, rows: Ints, weights: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
        """Of the lists `rows` [B] under weights [B, A], float64 [B] by figure; 0 where a list has none."""
        part = self.lists.rows(rows)
        self.num_evaluated += len(rows)
        return self._of(part, shown(part, by_weights(part, self.columns[rows], weights).order, self.k))

    def _of(self, lists: Lists, columns: Ints) -> dict[str, NDArray[np.float64]]:
        measured = of_lists(lists, columns)
        return {figure: np.nan_to_num(measured[f"{figure}@{self.k}"]) for figure in self.figures}
