"""Figures of many weight vectors at once: thousands a minute over thousands of lists.

A logged outcome is one candidate a list, whose place is a count: the candidates whose weighted sum is greater than the
target's. Differences to the target are taken once, so that a batch of weight vectors is one matrix product and one
comparison, over the lists that hold their target alone. What depends on the whole list (diversity, novelty, an outcome
that is a chance of every candidate) needs the first k candidates, on a fixed sample of the lists.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts import aims
from genrec.rank.rerank.parts.figures import discounts, filled
from genrec.rank.rerank.parts.lists import Floats, Lists
from genrec.rank.rerank.parts.similarity import unit_vectors

NDCG = "ndcg"
FIGURE_OF = {  # what is measured where an aim is to be gained
    aims.RELEVANCE: NDCG,
    "click": "hr",
    "purchase": "purchases",
    "price": "earned_price",
    "margin": "earned_margin",
    "new": "new",
    "novelty": "novelty",
    aims.DIVERSITY: aims.DIVERSITY,
}
_OF_HITS = ("ndcg", "hr", "purchases", "earned_price", "earned_margin")
_ABSENT, _TIE = -1e9, 1e-6
_BLOCK = 20_000  # columns of one matrix product: they stay in the processor's cache
_AT_ONCE = 64  # weight vectors of one matrix product


class Evaluator:
    """Mean figures of lists that are sorted by weighted aims."""

    def __init__(
        self, lists: Lists, names: Sequence[str], figures: Sequence[str], k: int, *, sample: int = 1000, seed: int = 0
    ) -> None:
        """names: aims [A] (`aims.columns`). figures: what to measure. sample: lists behind the figures of whole lists."""
        if lists.outcome is None:
            raise ValueError("lists without an outcome cannot be evaluated")
        self.k, self.num_lists = min(k, max(lists.width, 1)), len(lists)
        self.figures = tuple(dict.fromkeys((NDCG, *figures)))
        columns, self.warnings = aims.columns(lists, names)
        values = _values(lists, self.figures)
        one_each = bool(((lists.outcome["next"] != 0).sum(axis=1) <= 1).all())
        by_count = [figure for figure in self.figures if figure in _OF_HITS] if one_each else []
        by_list = [figure for figure in self.figures if figure not in by_count]
        self._parts: list[_ByCount | _ByList] = []
        if by_count:
            self._parts.append(_ByCount(lists, columns, {figure: values[figure] for figure in by_count}, self.k))
        if by_list and lists.width:
            chosen = np.arange(len(lists))
            if len(chosen) > sample:
                chosen = np.sort(np.random.default_rng(seed).choice(len(lists), sample, replace=False))
            measured = {figure: values[figure][chosen] for figure in by_list if figure != aims.DIVERSITY}
            alike = aims.DIVERSITY in by_list
            self._parts.append(_ByList(lists.rows(chosen), columns[chosen], measured, alike, self.k))

    def __call__(self, weights: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
        """Means over the lists, float64 [W] by figure, of weight vectors [W, A]."""
        weights = np.column_stack([weights, np.ones(len(weights))]).astype(np.float32)
        result = {figure: np.zeros(len(weights)) for figure in self.figures}
        for start in range(0, len(weights), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            for part in self._parts:
                for figure, values in part(weights[rows]).items():
                    result[figure][rows] = values
        return result


class _ByCount:
    """Figures of lists with one target each: its place is how many candidates stand above it."""

    def __init__(self, lists: Lists, columns: Floats, values: Mapping[str, Floats], k: int) -> None:
        assert lists.outcome is not None
        self.k, self.num_lists = k, max(len(lists), 1)
        rows, target = np.nonzero(lists.outcome["next"])
        tie = np.where(np.arange(lists.width) < target[:, None], _TIE, 0.0)  # equal sums keep the order
        tie[~lists.present[rows]] = _ABSENT
        difference = np.concatenate([columns[rows] - columns[rows, target][:, None], tie[:, :, None]], axis=2)
        step = max(1, _BLOCK // max(lists.width, 1))
        # [A + 1, C, n]: candidates are counted by adding up rows of n bytes
        blocks = [difference[start : start + step].transpose(2, 1, 0) for start in range(0, len(rows), step)]
        self.blocks = [np.ascontiguousarray(block, dtype=np.float32) for block in blocks]
        self.count_type = np.uint8 if lists.width < 256 else np.uint16
        self.of_target = {figure: matrix[rows, target].astype(np.float64) for figure, matrix in values.items()}

    def __call__(self, weights: Floats) -> dict[str, NDArray[np.float64]]:
        place = np.concatenate(
            [np.zeros((len(weights), 0), dtype=np.int64), *map(self._places(weights), self.blocks)], 1
        )
        listed = place < self.k
        gain = np.append(discounts(self.k), 0)[np.minimum(place, self.k)]
        return {
            figure: (gain if figure == NDCG else listed) @ values / self.num_lists
            for figure, values in self.of_target.items()
        }

    def _places(self, weights: Floats) -> Callable[[Floats], NDArray[np.integer]]:
        def places(block: Floats) -> NDArray[np.integer]:
            above = (weights @ block.reshape(len(block), -1) > 0).view(np.uint8)
            return np.add.reduce(above.reshape(len(weights), *block.shape[1:]), axis=1, dtype=self.count_type)

        return places


class _ByList:
    """Figures that depend on which candidates are the first k."""

    def __init__(self, lists: Lists, columns: Floats, values: Mapping[str, Floats], alike: bool, k: int) -> None:
        self.k, self.shape = k, lists.item.shape
        absent = np.where(lists.present, 0.0, _ABSENT)[:, :, None]
        stacked = np.concatenate([columns, absent], axis=2)
        self.scored = np.ascontiguousarray(stacked.reshape(-1, stacked.shape[2]).T, dtype=np.float32)  # [A + 1, m * C]
        self.values = {figure: np.where(lists.present, matrix, 0).ravel() for figure, matrix in values.items()}
        listed = np.minimum(lists.present.sum(axis=1), k)  # whatever the weights are
        self.count, self.pairs = np.maximum(listed, 1), listed * (listed - 1) / 2
        self.similarity = _similarities(lists) if alike else None

    def __call__(self, weights: Floats) -> dict[str, NDArray[np.float64]]:
        result: dict[str, list[float]] = {}
        for vector in weights:
            for figure, value in self._of_one(vector).items():
                result.setdefault(figure, []).append(value)
        return {figure: np.array(values) for figure, values in result.items()}

    def _of_one(self, weights: Floats) -> dict[str, float]:
        scores = (weights @ self.scored).reshape(self.shape)
        width = self.shape[1]
        column = np.argpartition(scores, width - self.k, axis=1)[:, width - self.k :]
        row = np.arange(self.shape[0])[:, None]
        at, result = row * width + column, {}
        for figure, values in self.values.items():
            if figure == NDCG:
                by_score = np.take_along_axis(at, np.argsort(-scores[row, column], axis=1, kind="stable"), axis=1)
                result[figure] = float((values[by_score] @ discounts(self.k)).mean())
            elif figure in _OF_HITS:
                result[figure] = float(values[at].sum(axis=1).mean())
            else:
                result[figure] = float((values[at].sum(axis=1) / self.count).mean())
        if self.similarity is not None:
            left, right = np.triu_indices(self.k, 1)
            alike = self.similarity[at[:, left] * width + column[:, right]].sum(axis=1)
            result[aims.DIVERSITY] = float(np.where(self.pairs > 0, 1 - alike / np.maximum(self.pairs, 1), 0).mean())
        return result


def _similarities(lists: Lists) -> Floats:
    """Cosine similarity of every two candidates of a list, float32 [U * C * C]; 0 with a column without an item."""
    blocks = [(vectors @ vectors.transpose(0, 2, 1)).ravel() for _, vectors in unit_vectors(lists)]
    return np.concatenate([np.zeros(0, dtype=np.float32), *blocks])


def _values(lists: Lists, figures: Sequence[str]) -> Mapping[str, Floats]:
    """What a candidate [U, C] adds to each figure where it is listed."""
    assert lists.outcome is not None
    values: dict[str, Floats] = {}
    for figure in figures:
        if figure in ("ndcg", "hr"):
            values[figure] = lists.outcome["next"]
        elif figure == "purchases":
            values[figure] = lists.outcome["purchase"]
        elif figure.startswith("earned_"):
            values[figure] = lists.outcome["purchase"] * filled(lists, figure.removeprefix("earned_"))
        elif figure != aims.DIVERSITY:
            values[figure] = filled(lists, figure)
    return values
