"""Boosted trees of LightGBM for a few rows at once, as a request has them: all splits of all trees are looked at together.

A tree of S splits has at most 2 ** S outcomes of its comparisons, each of which leads to one leaf. So a tree is a table of
leaf values by the bits of its comparisons, in the manner of QuickScorer (Lucchese et al., SIGIR 2015). The sums are those of
`Booster.predict`, but for the order in which they are added up.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_SPLITS = 8  # a table has 2 ** 8 values then
_AS_ZERO, _AS_LOWEST, _AS_HIGHEST = range(3)  # what a missing feature is taken for


class FewRows:
    """The trees of a booster, compiled; see `compiled`."""

    def __init__(self, places: NDArray, thresholds: NDArray, tables: NDArray) -> None:
        self._places = places  # int64 [S * T], row of the stacked features, split by split
        self._thresholds = thresholds  # float32 [S * T, 1]
        self._tables = tables  # float64 [T, 2 ** S]
        self._starts = (np.arange(len(tables)) * tables.shape[1])[:, None]

    def sums(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 [R]: sums of leaf values of features [R, F]."""
        columns = np.ascontiguousarray(features.T)
        missing = np.isnan(columns)
        stacked = np.concatenate(
            [np.where(missing, value, columns) for value in np.array([0, -np.inf, np.inf], np.float32)]
        )
        number, rows = len(self._tables), len(features)
        goes_left = (stacked[self._places] <= self._thresholds).view(np.uint8).reshape(-1, number, rows)
        outcome = goes_left[0].astype(np.int64)
        for split in range(1, len(goes_left)):
            outcome |= goes_left[split].astype(np.int64) << split
        return self._tables.ravel()[outcome + self._starts].sum(axis=0)


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
    return FewRows(places.ravel(), thresholds.ravel()[:, None], tables)


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
