"""Figures of many weight vectors at once: thousands a minute over thousands of lists.

A logged outcome is one candidate a list, whose place is a count: the candidates whose weighted sum is greater than the
target's. Differences to the target are taken once, so that a batch of weight vectors is one matrix product and one
comparison, over the lists that hold their target alone. What depends on the whole list (diversity, novelty, an outcome
that is a chance of every candidate) needs the first k candidates, on a fixed sample of the lists.
"""

from collections.abc import Mapping, Sequence

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
_AT_ONCE = 1 << 22


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
        self.values = _values(lists, self.figures)
        one_each = bool(((lists.outcome["next"] != 0).sum(axis=1) <= 1).all())
        self.by_count = [f for f in self.figures if f in _OF_HITS] if one_each else []
        self.by_list = [f for f in self.figures if f not in self.by_count]
        if self.by_count:
            self._differences(lists, columns)
        if self.by_list:
            self._sampled(lists, columns, sample, seed)

    def __call__(self, weights: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
        """Means over the lists, float64 [W] by figure, of weight vectors [W, A]."""
        weights = np.asarray(weights, dtype=np.float32)
        result = {figure: np.zeros(len(weights)) for figure in self.figures}
        per_vector = max(
            (self.places.shape[1] if self.by_count else 0), (self.scored.shape[1] if self.by_list else 0), 1
        )
        step = max(1, _AT_ONCE // per_vector)
        for start in range(0, len(weights), step):
            part = slice(start, start + step)
            for figure, values in {**self._counted(weights[part]), **self._listed(weights[part])}.items():
                result[figure][part] = values
        return result

    # ---- by counting who stands above the target ----------------------------------------------------------------------

    def _differences(self, lists: Lists, columns: Floats) -> None:
        assert lists.outcome is not None
        rows, target = np.nonzero(lists.outcome["next"])
        own = columns[rows, target]
        width, column = lists.width, np.arange(lists.width)
        tie = np.where(column < target[:, None], _TIE, 0.0)  # equal sums keep the order
        tie[~lists.present[rows]] = _ABSENT
        difference = np.concatenate([columns[rows] - own[:, None], tie[:, :, None]], axis=2).astype(np.float32)
        self.places = np.ascontiguousarray(difference.reshape(-1, difference.shape[2]).T)  # [A + 1, n * C]
        self.width = width
        self.of_target = {name: values[rows, target].astype(np.float64) for name, values in self.values.items()}

    def _counted(self, weights: Floats) -> dict[str, NDArray[np.float64]]:
        if not self.by_count:
            return {}
        with_tie = np.column_stack([weights, np.ones(len(weights), dtype=np.float32)])
        above = (with_tie @ self.places > 0).reshape(len(weights), -1, self.width)
        place = np.count_nonzero(above, axis=2)
        listed = place < self.k
        gain = np.where(listed, np.append(discounts(self.k), 0)[np.minimum(place, self.k)], 0)
        return {
            figure: (gain if figure == NDCG else listed) @ self.of_target[figure] / self.num_lists
            for figure in self.by_count
        }

    # ---- by the first k candidates ------------------------------------------------------------------------------------

    def _sampled(self, lists: Lists, columns: Floats, sample: int, seed: int) -> None:
        chosen = np.arange(len(lists))
        if len(chosen) > sample:
            chosen = np.sort(np.random.default_rng(seed).choice(len(lists), sample, replace=False))
        part, columns = lists.rows(chosen), columns[chosen]
        absent = np.where(part.present, 0.0, _ABSENT).astype(np.float32)
        stacked = np.concatenate([columns, absent[:, :, None]], axis=2)
        self.scored = np.ascontiguousarray(stacked.reshape(-1, stacked.shape[2]).T)  # [A + 1, m * C]
        self.shape = part.item.shape
        self.of_candidate = {f: self.values[f][chosen] for f in self.by_list if f != aims.DIVERSITY}
        self.listable = part.present
        if aims.DIVERSITY in self.by_list:
            blocks = [vectors @ vectors.transpose(0, 2, 1) for _, vectors in unit_vectors(part)]
            self.similarity = np.concatenate(blocks) if blocks else np.zeros((0, 0, 0), dtype=np.float32)

    def _listed(self, weights: Floats) -> dict[str, NDArray[np.float64]]:
        if not self.by_list:
            return {}
        import torch

        with_absent = np.column_stack([weights, np.ones(len(weights), dtype=np.float32)])
        scores = (with_absent @ self.scored).reshape(len(weights), *self.shape)
        top = torch.topk(torch.from_numpy(scores), self.k, dim=2).indices.numpy()  # [W, m, k]
        row = np.arange(self.shape[0])[None, :, None]
        there = self.listable[row, top]
        count = np.maximum(there.sum(axis=2), 1)
        result = {}
        for figure, values in self.of_candidate.items():
            at = np.where(there, values[row, top], 0)
            if figure in _OF_HITS:
                result[figure] = (at @ discounts(self.k) if figure == NDCG else at.sum(axis=2)).mean(axis=1)
            else:
                result[figure] = (at.sum(axis=2) / count).mean(axis=1)
        if aims.DIVERSITY in self.by_list:
            left, right = np.triu_indices(self.k, 1)
            pairs = there[:, :, left] & there[:, :, right]
            alike = self.similarity[row, top[:, :, left], top[:, :, right]]
            distance = np.where(pairs, 1 - alike, 0).sum(axis=2) / np.maximum(pairs.sum(axis=2), 1)
            result[aims.DIVERSITY] = distance.mean(axis=1)
        return result


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
