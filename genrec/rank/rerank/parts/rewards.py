"""Figures of single lists under weights of their own, as rewards of a policy.

A reward adds up over lists: the bound of NDCG, which is a mean over all of them, becomes a price of NDCG in training, and
weights are shrunk until the bound holds afterwards.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts import aims
from genrec.rank.rerank.parts.evaluator import NDCG
from genrec.rank.rerank.parts.figures import of_lists
from genrec.rank.rerank.parts.fused import by_weights
from genrec.rank.rerank.parts.goal import Goal
from genrec.rank.rerank.parts.lists import Ints, Lists, shown

SHRINKING = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.02)


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
        measured = of_lists(lists, columns, [f"{figure}@{self.k}" for figure in self.figures])
        return {figure: np.nan_to_num(measured[f"{figure}@{self.k}"]) for figure in self.figures}


def rewards(
    figures: ListFigures, goal: Goal, ndcg_weight: float, rows: Ints, weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """What lists `rows` [B] gain under weights [B, A] over the lists as they came, in shares of the mean: the wanted figures
    by importance, and NDCG by `ndcg_weight`. float64 [B]
    """
    now, total = figures(rows, weights), np.zeros(len(rows))
    for figure, importance in {**goal.wanted, NDCG: goal.wanted.get(NDCG, 0.0) + ndcg_weight}.items():
        mean = abs(goal.before[figure])
        total += importance * (now[figure] - figures.unchanged[figure][rows]) / (mean if mean else 1.0)
    return total


def shrunk(figures: ListFigures, goal: Goal, rows: Ints, weights: Callable[[float], NDArray[np.floating]]) -> float:
    """Of `SHRINKING`, the scale whose weights(scale) [B, A] gain most on lists `rows` [B] within the bound of NDCG there; 0
    where none gains.
    """
    if not len(rows):
        return 0.0
    before = {name: float(values[rows].mean()) for name, values in figures.unchanged.items()}
    goal = Goal(goal.importance, before, goal.max_loss)
    best, best_value = 0.0, 0.0
    for scale in SHRINKING:
        means = {name: values.mean(keepdims=True) for name, values in figures(rows, weights(scale)).items()}
        value = float(goal.value(means)[0])
        if float(goal.excess(means)[0]) <= 0 and value > best_value:
            best, best_value = scale, value
    return best
