"""Weighted fusion of aims: candidates sorted by a weighted sum, whose weights are searched for on validation.

Every aim (relevance, click, purchase, price or margin, new, novelty, diversity) is standardised within the list; the
weight of relevance is 1. A search without gradients finds the other weights: greatest gain in what `aims` want, while
NDCG of the validation lists falls by at most `max_ndcg_loss`. Where nothing within this bound gains, the weights are 0 and
the lists stay as they are. All that was looked at and is not dominated is kept as the Pareto front of the aims.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts import aims
from genrec.rank.rerank.parts.evaluator import NDCG, Evaluator
from genrec.rank.rerank.parts.fused import by_weights, choices_of, weights_of
from genrec.rank.rerank.parts.goal import Aim, Goal, figures_wanted, not_dominated
from genrec.rank.rerank.parts.lists import Lists, Reordered
from genrec.rank.rerank.parts.search import search
from genrec.variants import setting

GLOBAL = "global"
MAX_FRONT = 200


@dataclass(frozen=True)
class Config:
    """Weighted fusion."""

    aims: dict[Aim, float] = setting(  # noqa: RUF009 (a field)
        {"purchase": 1.0},
        "What is to be gained and what a share of it is worth: click (hits), purchase (hits that are bought), price or "
        "margin (of purchases), new, novelty, diversity.",
    )
    max_ndcg_loss: float = setting(0.01, "Share of NDCG on validation that the gain may cost.", ge=0, lt=1)
    search: Literal["cem", "pso", "one_plus_one", "portfolio"] = setting(
        "portfolio",
        "Cross-entropy method, particle swarm, (1+1)-ES, or the first two and then the third from the better.",
    )
    evaluations: int = setting(2000, "Weight vectors that are tried.", ge=1)
    bound: float = setting(1.0, "Weights lie within -bound..bound; relevance has weight 1.", gt=0)
    by_segment: bool = setting(False, "Weights of their own for every segment of users with enough lists.")
    min_segment: int = setting(500, "Lists that a segment needs for weights of its own.", ge=1)
    sample: int = setting(500, "Lists behind figures of whole lists (diversity, novelty, new) in the search.", ge=1)


def tune(lists: Lists, options: Config, k: int, seed: int) -> "Fusion":
    """Search for weights on validation lists. Raises ValueError for lists without an outcome."""
    names = aims.names_of(lists)
    began = time.perf_counter()
    found = _Search(lists, names, options, k, seed)
    weights = {GLOBAL: found.weights}
    num_evaluated, warnings = found.num_evaluated, found.warnings
    if options.by_segment and lists.segment is not None:
        for segment in np.unique(lists.segment).tolist():
            own = lists.segment == segment
            if own.sum() >= options.min_segment:
                inside = _Search(lists.rows(own), names, options, k, seed, start=found.weights)
                weights[str(segment)] = inside.weights
                num_evaluated += inside.num_evaluated
    fusion = Fusion(names, weights, found.front())
    fusion.evaluations_per_s = num_evaluated / max(time.perf_counter() - began, 1e-9)
    fusion.warnings = warnings
    return fusion


def restore(state: dict[str, Any], options: Config) -> "Fusion":
    """From `Fusion.state`."""
    weights = {name: np.array(values) for name, values in state["weights"].items()}
    return Fusion(tuple(state["names"]), weights, state["front"])


class Fusion:
    """A re-ranker. Users of a segment without weights of its own have the global ones."""

    evaluations_per_s: float = 0.0  # of the search, 0 where there was none

    def __init__(
        self, names: Sequence[str], weights: Mapping[str, NDArray[np.float64]], front: dict[str, Any] | None = None
    ) -> None:
        """names: aims [A], relevance first. weights: [A] each, under `GLOBAL` or a segment's number."""
        self.names, self.weights, self.front = tuple(names), dict(weights), front
        self.warnings = Counter[str]()  # of the search

    def rerank(self, lists: Lists, k: int) -> Reordered:
        """Sort by the weighted sum; equal sums keep their order."""
        columns, warnings = aims.columns(lists, self.names)
        return by_weights(lists, columns, self._of_users(lists), warnings)

    def state(self) -> dict[str, Any]:
        """Names, weights and the front."""
        weights = {name: values.tolist() for name, values in self.weights.items()}
        return {"names": list(self.names), "weights": weights, "front": self.front}

    def _of_users(self, lists: Lists) -> NDArray[np.float64]:
        """Weights of each list, float64 [U, A]."""
        result = np.tile(self.weights[GLOBAL], (len(lists), 1))
        if lists.segment is not None:
            for name, values in self.weights.items():
                if name != GLOBAL:
                    result[lists.segment == int(name)] = values
        return result


class _Search:
    """One search: its lists, what it looked at, and the best that holds the constraint."""

    def __init__(
        self,
        lists: Lists,
        names: tuple[str, ...],
        options: Config,
        k: int,
        seed: int,
        start: NDArray[np.float64] | None = None,
    ) -> None:
        self.bound, self.figures = options.bound, figures_wanted(options.aims, names)
        self.evaluate = Evaluator(lists, names, self.figures, k, sample=options.sample, seed=seed)
        unchanged = np.eye(1, len(names))[0]
        self.before = {name: float(values[0]) for name, values in self.evaluate(unchanged[None]).items()}
        self.goal = Goal(options.aims, self.before, options.max_ndcg_loss)
        self.tried: list[NDArray[np.float64]] = []
        self.measured: list[dict[str, NDArray[np.float64]]] = []
        self.warnings = self.evaluate.warnings + Counter(
            {f"nothing to gain in {name}": 1 for name in self.goal.without}
        )
        self._look(np.stack([unchanged, np.ones(len(names))]))
        if self.goal.wanted and len(lists):
            first = choices_of(unchanged if start is None else start, options.bound)
            search(options.search, self._score, first, bound=1.0, budget=options.evaluations, seed=seed)
        self._choose(unchanged)

    def _look(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        figures = self.evaluate(weights)
        self.tried.append(weights)
        self.measured.append(figures)
        return figures

    def _score(self, free: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.goal.score(self._look(weights_of(free, self.bound)))

    def _choose(self, unchanged: NDArray[np.float64]) -> None:
        self.all_weights = np.concatenate(self.tried)
        self.all_figures = {f: np.concatenate([part[f] for part in self.measured]) for f in self.evaluate.figures}
        value = np.where(self.goal.excess(self.all_figures) <= 0, self.goal.value(self.all_figures), -np.inf)
        best = int(value.argmax())
        self.chosen = best if value[best] > 0 else 0
        self.weights = self.all_weights[self.chosen] if self.chosen else unchanged
        self.num_evaluated = len(self.all_weights)

    def front(self) -> dict[str, Any]:
        """The Pareto front of NDCG and the wanted figures among what was looked at, as plain JSON.

        {k, max_ndcg_loss, figures, weights, points, chosen, before, equal}: rows of `points` have the columns `figures`,
        those of `weights` the aims; `before` are the lists as they came, `equal` all aims weighted alike.
        """
        figures = [NDCG, *(f for f in self.goal.wanted if f != NDCG)]
        points = np.column_stack([self.all_figures[f] for f in figures])
        front = np.flatnonzero(not_dominated(points))
        front = front[np.argsort(-points[front, 0], kind="stable")]
        front = front[_thinned(points[front], MAX_FRONT) | (front == self.chosen)]
        return {
            "k": self.evaluate.k,
            "max_ndcg_loss": self.goal.max_loss,
            "figures": figures,
            "weights": self.all_weights[front].tolist(),
            "points": points[front].tolist(),
            "chosen": points[self.chosen].tolist(),
            "before": points[0].tolist(),
            "equal": points[1].tolist(),
        }


def _thinned(points: NDArray[np.float64], most: int) -> NDArray[np.bool_]:
    """Which points [n, D] of a front to keep, bool [n]: those not dominated in the first column and one other, and so many
    evenly spaced ones.
    """
    kept = np.zeros(len(points), dtype=bool)
    kept[np.linspace(0, len(points) - 1, min(len(points), most)).round().astype(int)] = True
    for place in range(1, points.shape[1]):
        kept |= not_dominated(points[:, [0, place]])
    return kept
