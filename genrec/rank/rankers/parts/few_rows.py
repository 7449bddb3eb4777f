"""Boosted trees of LightGBM for a few rows at once, as a request has them: all splits of all trees are looked at together.

A tree of S splits has at most 2 ** S outcomes of its comparisons, each of which leads to one leaf. So a tree is a table of
leaf values by the bits of its comparisons, in the manner of QuickScorer (Lucchese et al., SIGIR 2015). The sums are those of
`Booster.predict`, but for the order in which they are added up.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_SPLITS = 8  # a table has 2 ** 8 values then
_ROWS = 256  # looked at at once: what is held of them stays in the processor's cache
_AS_ZERO, _AS_LOWEST, _AS_HIGHEST = range(3)  # what a missing feature is taken for
_TAKEN_FOR = np.array([0, -np.inf, np.inf], dtype=np.float32)


class FewRows:
    """The trees of one booster or of several; see `compiled` and `joined`. T trees of at most S splits, F features."""

    def __init__(self, places: NDArray[np.int64], thresholds: NDArray[np.float32], tables: NDArray[np.float64]) -> None:
        """places [S, T]: `_AS_...` * F + feature. thresholds [S, T]: what is not above goes left. tables [T, 2 ** S]."""
        self.places, self.thresholds, self.tables = places, thresholds, tables
        # Trees share many of their splits: each is compared once.
        pairs = np.stack([places.ravel(), thresholds.ravel().view(np.int32).astype(np.int64)], axis=1)
        distinct, which = np.unique(pairs, axis=0, return_inverse=True)
        self._used, self._row = np.unique(distinct[:, 0], return_inverse=True)
        self._threshold = distinct[:, 1].astype(np.int32).view(np.float32)[:, None]
        self._which = which.ravel()
        self._flat, self._starts = tables.ravel(), (np.arange(len(tables)) * tables.shape[1])[:, None]
        self._starts = self._starts.astype(np.min_scalar_type(tables.size))  # narrow numbers are added faster

    def sums(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 [R]: sums of leaf values of features [R, F]."""
        parts = np.array_split(features, max(1, -(-len(features) // _ROWS)))
        return np.concatenate([self._sums(part) for part in parts])

    def _sums(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        taken_for, feature = np.divmod(self._used, features.shape[1])
        columns = features.T[feature]
        np.copyto(columns, _TAKEN_FOR[taken_for][:, None], where=np.isnan(columns))
        goes_left = (columns.take(self._row, axis=0) <= self._threshold).view(np.uint8)
        by_split = goes_left.take(self._which, axis=0).reshape(*self.places.shape, -1)
        outcome = by_split[-1]
        for of_trees in by_split[-2::-1]:
            outcome += outcome
            outcome |= of_trees
        return self._flat.take(outcome + self._starts).sum(axis=0)


def joined(models: Sequence[FewRows | None], weights: Sequence[float]) -> FewRows | None:
    """All trees of models of the same features; `sums` are the sum of theirs, each times its weight. None where one is."""
    parts = [(trees, weight) for trees, weight in zip(models, weights, strict=True) if trees is not None]
    if len(parts) < max(len(models), 1):
        return None
    most = max(len(trees.places) for trees, _ in parts)

    def padded(values: NDArray[Any], filler: float) -> NDArray[Any]:
        return np.pad(values, [(0, most - len(values)), (0, 0)], constant_values=filler)

    return FewRows(
        np.concatenate([padded(trees.places, 0) for trees, _ in parts], axis=1),
        np.concatenate([padded(trees.thresholds, np.inf) for trees, _ in parts], axis=1),
        np.concatenate([np.tile(w * trees.tables, (1, 1 << (most - len(trees.places)))) for trees, w in parts]),
    )


def compiled(booster: Any) -> FewRows | None:
    """The trees of a LightGBM booster; None for trees with more splits than fit, or with splits of other kinds."""
    model = booster.dump_model()
    trees = [_splits(tree["tree_structure"]) for tree in model["tree_info"]]
    most = max((len(splits) for splits in trees), default=0)
    num_features = int(model["max_feature_idx"]) + 1
    if not 0 < most <= _MOST_SPLITS or not all(_is_plain(split) for splits in trees for split in splits):
        return None
    places = np.zeros((most, len(trees)), dtype=np.int64)
    thresholds = np.full((most, len(trees)), np.inf, dtype=np.float32)
    tables = np.empty((len(trees), 1 << most))
    for number, splits in enumerate(trees):
        for place, split in enumerate(splits):
            places[place, number] = _missing_as(split) * num_features + split["split_feature"]
            thresholds[place, number] = _not_above(split["threshold"])
        root, numbers = model["tree_info"][number]["tree_structure"], {id(s): n for n, s in enumerate(splits)}
        tables[number] = _table(root, numbers, np.arange(1 << most))
    return FewRows(places, thresholds, tables)


def _splits(node: dict[str, Any]) -> list[dict[str, Any]]:
    if "split_feature" not in node:
        return []
    return [node, *_splits(node["left_child"]), *_splits(node["right_child"])]


def _is_plain(split: dict[str, Any]) -> bool:
    return split["decision_type"] == "<=" and split["missing_type"] in ("NaN", "None")


def _missing_as(split: dict[str, Any]) -> int:
    if split["missing_type"] == "None":
        return _AS_ZERO
    return _AS_LOWEST if split["default_left"] else _AS_HIGHEST


def _not_above(threshold: float) -> np.float32:
    """The largest float32 that is no more than it: a float32 is compared with both alike."""
    with np.errstate(over="ignore"):
        nearest = np.float32(threshold)
    return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf))


def _table(node: dict[str, Any], numbers: dict[int, int], outcomes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The value of the leaf that each outcome of the comparisons leads to."""
    if "split_feature" not in node:
        return np.full(len(outcomes), node["leaf_value"])
    left = (outcomes >> numbers[id(node)]) & 1 > 0
    children = (_table(node[side], numbers, outcomes) for side in ("left_child", "right_child"))
    return np.where(left, *children)
