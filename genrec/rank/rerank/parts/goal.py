"""What a search for weights is after: the wanted figures' gain, while NDCG may fall by a stated share at most."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts.evaluator import FIGURE_OF, NDCG

Aim = Literal["click", "purchase", "price", "margin", "new", "novelty", "diversity"]  # what can be gained

_PENALTY = 50.0  # of a share of NDCG lost beyond what is allowed, against a share of a figure gained


class Goal:
    """Scores weight vectors by their figures.

    value = sum over the aims of importance * (figure / the figure of the lists as they came - 1). An aim whose figure is 0
    for these lists cannot be gained on in shares: it is left out and listed in `without`.
    """

    def __init__(self, importance: Mapping[Aim, float], before: Mapping[str, float], max_loss: float) -> None:
        """importance: by aim. before: figures of the lists as they came. max_loss: share of NDCG."""
        wanted = {FIGURE_OF[aim]: weight for aim, weight in importance.items() if weight}
        self.wanted = {figure: weight for figure, weight in wanted.items() if abs(before.get(figure, 0.0)) > 1e-12}
        self.without = sorted(set(wanted) - set(self.wanted))
        self.importance, self.before, self.max_loss = dict(importance), dict(before), max_loss

    def value(self, figures: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The weighted gain, float64 [W]."""
        total = np.zeros(len(figures[NDCG]))
        for figure, weight in self.wanted.items():
            total += weight * (figures[figure] / self.before[figure] - 1) * np.sign(self.before[figure])
        return total

    def excess(self, figures: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Share of NDCG lost beyond `max_loss`, float64 [W]; 0 where the constraint holds."""
        before = self.before[NDCG]
        lost = 1 - figures[NDCG] / before if before > 0 else np.zeros(len(figures[NDCG]))
        return np.maximum(lost - self.max_loss, 0)

    def score(self, figures: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The gain less a steep penalty, float64 [W]: what a search maximises."""
        return self.value(figures) - _PENALTY * self.excess(figures)


def not_dominated(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The Pareto front of points [n, D], every column to be maximised: bool [n], one of equal points."""
    order = np.lexsort(tuple(-points[:, d] for d in reversed(range(points.shape[1]))))
    front: list[int] = []
    for place in order:
        kept = points[front]
        if not (len(front) and (kept >= points[place]).all(axis=1).any()):
            front.append(int(place))
    result = np.zeros(len(points), dtype=bool)
    result[front] = True
    return result


def figures_wanted(importance: Mapping[Aim, float], known: Sequence[str]) -> tuple[str, ...]:
    """The figures to measure for aims that are wanted, those of aims that the lists have; NDCG first."""
    wanted = [FIGURE_OF[aim] for aim, weight in importance.items() if weight and _measurable(aim, known)]
    return tuple(dict.fromkeys((NDCG, "hr", "purchases", *wanted)))


def _measurable(aim: Aim, known: Sequence[str]) -> bool:
    return aim in ("click", "purchase", "diversity") or aim in known
