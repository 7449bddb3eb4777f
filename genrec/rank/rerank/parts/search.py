"""Searches without gradients for the weights that score best.

Each asks for batches of weight vectors within -bound..bound and is told their scores; nothing else is known to it, so
that what a batch is evaluated on is the caller's choice.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genrec.errors import GenrecError

Score = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # [W, A] -> [W], greater is better
Method = Literal["cem", "pso", "one_plus_one", "portfolio"]
ELITE, SMOOTHING, SMALLEST_STEP = 0.2, 0.7, 0.02
SWARM = 40


def search(
    method: Method,
    score: Score,
    start: NDArray[np.float64],
    *,
    bound: float,
    budget: int,
    seed: int,
    population: int = 50,
) -> NDArray[np.float64]:
    """The best weights [A] that `budget` evaluations find, `start` among them."""
    if method == "portfolio":
        return _portfolio(score, start, bound, budget, seed, population)
    best = _Best(score, start)
    if method == "cem":
        _cem(best, bound, budget, seed, population)
    elif method == "pso":
        _ask_and_tell(best, "PSO", SWARM, bound, budget, seed)
    else:
        _ask_and_tell(best, "OnePlusOne", 1, bound, budget, seed)
    return best.weights


class _Best:
    """Evaluates batches and keeps the best of all."""

    def __init__(self, score: Score, start: NDArray[np.float64]) -> None:
        self._score, self.weights = score, np.asarray(start, dtype=np.float64)
        self.score = float(score(self.weights[None])[0])

    def __call__(self, batch: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = self._score(batch)
        place = int(scores.argmax())
        if scores[place] > self.score:
            self.weights, self.score = batch[place].copy(), float(scores[place])
        return scores


def _cem(best: _Best, bound: float, budget: int, seed: int, population: int) -> None:
    """The cross-entropy method: a normal distribution moves to the best fifth of what was drawn from it.

    Rubinstein, "The cross-entropy method for combinatorial and continuous optimization" (Methodology and Computing in
    Applied Probability 1999); smoothed updates as in de Boer et al., "A tutorial on the cross-entropy method" (2005).
    """
    generator = np.random.default_rng(seed)
    mean, spread = best.weights.copy(), np.full(len(best.weights), bound / 2)
    for done in range(0, budget, population):
        size = min(population, budget - done)
        drawn = np.clip(mean + spread * generator.standard_normal((size, len(mean))), -bound, bound)
        order = np.argsort(-best(drawn), kind="stable")
        elite = drawn[order[: max(2, round(ELITE * size))]]
        mean = SMOOTHING * elite.mean(axis=0) + (1 - SMOOTHING) * mean
        spread = np.maximum(SMOOTHING * elite.std(axis=0) + (1 - SMOOTHING) * spread, SMALLEST_STEP * bound)


def _ask_and_tell(best: _Best, name: str, batch: int, bound: float, budget: int, seed: int) -> None:
    """An optimizer of nevergrad, `batch` evaluations at a time, from the best weights so far."""
    nevergrad = _nevergrad()
    space = nevergrad.p.Array(init=best.weights.clip(-bound, bound), lower=-bound, upper=bound)
    space.random_state.seed(seed)
    optimizer = nevergrad.optimizers.registry[name](space, budget=budget, num_workers=batch)
    for done in range(0, budget, batch):
        asked = [optimizer.ask() for _ in range(min(batch, budget - done))]
        scores = best(np.array([candidate.value for candidate in asked]))
        for candidate, value in zip(asked, scores, strict=True):
            optimizer.tell(candidate, -float(value))


def _portfolio(
    score: Score, start: NDArray[np.float64], bound: float, budget: int, seed: int, population: int
) -> NDArray[np.float64]:
    """CEM and PSO side by side on a third of the budget each, then (1+1)-ES from the better of the two."""
    best = _Best(score, start)
    _cem(best, bound, budget // 3, seed, population)
    swarm = _Best(score, start)
    _ask_and_tell(swarm, "PSO", SWARM, bound, budget // 3, seed)
    if swarm.score > best.score:
        best = swarm
    _ask_and_tell(best, "OnePlusOne", 1, bound, budget - 2 * (budget // 3), seed)
    return best.weights


def _nevergrad() -> Any:
    try:
        import nevergrad
    except ImportError as error:
        raise GenrecError(
            "rank.rerank: search by pso, one_plus_one or portfolio needs nevergrad, which is not installed: "
            "pip install 'genrec[rerank]', or choose search: cem"
        ) from error
    return nevergrad
