"""Figures of a ranking: how good its lists are, how well its probabilities are calibrated, and what made a list.

What is about lists whether they hit or not (coverage, novelty, diversity, new items) is `genrec.list_metrics`, fed with
`listed`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec import metrics
from genrec.rank.order import best_first, places
from genrec.rank.samples import Samples

KS = (1, 5, 10, 20, 50)


def list_names(ks: Sequence[int] = KS) -> list[str]:
    """The columns of `by_list`."""
    return [*metrics.metric_names(ks), "mrr", "map"]


def by_list(
    samples: Samples, scores: NDArray[np.floating], label: NDArray[np.float32], ks: Sequence[int] = KS
) -> NDArray[np.float64]:
    """Figures of each list, float64 [L, M], columns as `list_names`; a list without a positive has 0 everywhere.

    HR@k: a positive among the first k. NDCG@k: with binary gains, over the best order of the list's positives. MRR:
    1 / place of the first positive. MAP: mean over the positives of the precision at their places (Manning et al.,
    Introduction to Information Retrieval, section 8.4); with one positive the same as MRR.
    """
    number, lists = len(samples.starts) - 1, samples.list_of_row
    positive = label > 0
    place, owner = places(samples, scores)[positive], lists[positive]
    order = np.lexsort((place, owner))
    place, owner = place[order], owner[order]
    count = np.bincount(owner, minlength=number)
    nth = np.arange(len(owner)) - (np.cumsum(count) - count)[owner] + 1  # 1 for a list's first positive

    def summed(values: NDArray) -> NDArray[np.float64]:
        return np.bincount(owner, weights=values, minlength=number).astype(np.float64)

    def dcg(at: NDArray, k: int) -> NDArray[np.float64]:
        return summed(metrics.ndcg(at, k))  # of one positive: its discounted gain

    columns = [(summed(metrics.hit(place, k)) > 0).astype(np.float64) for k in ks]
    columns += [dcg(place, k) / np.maximum(dcg(nth - 1, k), 1e-12) for k in ks]
    columns += [summed((nth == 1) / (place + 1)), summed(nth / (place + 1)) / np.maximum(count, 1)]
    return np.stack(columns, axis=1)


def list_figures(
    samples: Samples,
    scores: NDArray[np.floating],
    label: NDArray[np.float32] | None = None,
    *,
    ks: Sequence[int] = KS,
    num_lists: int | None = None,
) -> dict[str, float]:
    """Means over the lists of `by_list`, of the label or of a task's; auc and gauc too, where both classes are there.

    num_lists: how many lists were asked for, where some have no candidate at all and thus no row; they count 0.
    """
    label = samples.label if label is None else label
    total = by_list(samples, scores, label, ks).sum(axis=0) / max(num_lists or len(samples.starts) - 1, 1)
    figures = dict(zip(list_names(ks), total.tolist(), strict=True))
    areas = {"auc": auc(scores, label), "gauc": gauc(samples, scores, label)}
    return {**figures, **{name: value for name, value in areas.items() if not np.isnan(value)}}


def auc(scores: NDArray[np.floating], label: NDArray[np.float32]) -> float:
    """The probability that a positive scores above a negative, ties counting half, over all rows; nan with one class."""
    return float(_areas(scores, label, np.array([0, len(scores)]))[0])


def gauc(samples: Samples, scores: NDArray[np.floating], label: NDArray[np.float32]) -> float:
    """AUC inside lists, the mean over those with both classes, weighted by their rows; nan without any.

    Zhu et al., "Optimized cost per click in Taobao display advertising" (KDD 2017, section 4.2): only the order within a
    list is seen by anyone.
    """
    values, rows = auc_by_list(samples, scores, label)
    there = ~np.isnan(values)
    return float(np.average(values[there], weights=rows[there])) if there.any() else float("nan")


def auc_by_list(
    samples: Samples, scores: NDArray[np.floating], label: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(AUC of each list, nan where it has one class; its rows), float64 [L] and int64 [L]."""
    starts = samples.starts
    return _areas(scores, label, starts), np.diff(starts)


def _areas(scores: NDArray[np.floating], label: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """AUC of each run of rows, float64 [L], by the sum of ranks (Mann and Whitney), ties sharing the mean of theirs."""
    rows, number = np.diff(starts), len(starts) - 1
    owner = np.repeat(np.arange(number), rows)
    order = np.lexsort((scores, owner))
    ordered, positive = scores[order], (label > 0)[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(ordered) != 0) | (np.diff(owner) != 0)
    tie = np.cumsum(new) - 1
    place = np.arange(len(order)) - starts[:-1][owner] + 1.0
    size = np.bincount(tie)
    shared = np.bincount(tie, weights=place) / np.maximum(size, 1)
    ranks = np.bincount(owner[positive], weights=shared[tie[positive]], minlength=number)
    num_positive = np.bincount(owner[positive], minlength=number)
    pairs = num_positive * (rows - num_positive)
    below = ranks - num_positive * (num_positive + 1) / 2
    return np.where(pairs > 0, below / np.maximum(pairs, 1), np.nan)


def by_segment(
    samples: Samples, scores: NDArray[np.floating], segment: NDArray, ks: Sequence[int] = KS
) -> dict[str, dict[str, float]]:
    """`list_figures` of the lists of each segment, and how many they are; segment [L] is each list's, of any kind."""
    found = {}
    for value in np.unique(segment).tolist():
        rows = (segment == value)[samples.list_of_row]
        part = samples.take(rows)
        found[str(value)] = {"lists": len(part.starts) - 1, **list_figures(part, scores[rows], ks=ks)}
    return found


@dataclass(frozen=True)
class Calibration:
    """bins: {low, high, predicted (mean probability), observed (share of positives), rows}; ece: see `calibration`."""

    bins: list[dict[str, float]]
    ece: float


def calibration(probability: NDArray[np.floating], label: NDArray[np.float32], num_bins: int = 10) -> Calibration:
    """Predicted and observed rates by bin, and the expected calibration error: their mean absolute gap, weighted by rows.

    Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning" (AAAI 2015). Bins hold
    equally many rows, as one candidate in 200 is positive: bins of equal width would put nearly all rows into the first.
    """
    order = np.argsort(probability, kind="stable")
    bins, gap = [], 0.0
    for rows in np.array_split(order, min(num_bins, len(order)) or 1):
        if not len(rows):
            continue
        predicted, observed = float(probability[rows].mean()), float((label[rows] > 0).mean())
        gap += abs(predicted - observed) * len(rows) / len(order)
        low, high = float(probability[rows[0]]), float(probability[rows[-1]])
        bins.append({"low": low, "high": high, "predicted": predicted, "observed": observed, "rows": len(rows)})
    return Calibration(bins, gap)


def listed(samples: Samples, scores: NDArray[np.floating], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The first k items of each list and their scores, best first: int32 [L, k] with -1, float32 [L, k] with -inf."""
    number, order = len(samples.starts) - 1, best_first(samples, scores)
    place = np.arange(len(order)) - np.repeat(samples.starts[:-1], np.diff(samples.starts))
    kept = place < k
    rows, at = samples.list_of_row[kept], (order[kept], place[kept])
    items, values = np.full((number, k), -1, dtype=np.int32), np.full((number, k), -np.inf, dtype=np.float32)
    items[rows, at[1]], values[rows, at[1]] = samples.item[at[0]], scores[at[0]]
    return items, values


def explained(
    names: Sequence[str], contributions: NDArray[np.float64], features: NDArray[np.float32], most: int = 8
) -> list[dict[str, Any]]:
    """What made the scores of some candidates, largest first: a row of {score, base, features} each.

    contributions float64 [n, F + 1]: SHAP values and, last, the mean score, as a ranker's `contributions` gives them.
    `features` are {name, value (None where missing), contribution}, the `most` largest; `others` is the sum of the rest.
    """
    rows = []
    for shap, values in zip(contributions, features, strict=True):
        order = np.argsort(-np.abs(shap[:-1]), kind="stable")
        shown = [
            {
                "name": names[place],
                "value": None if np.isnan(values[place]) else float(values[place]),
                "contribution": float(shap[place]),
            }
            for place in order[:most].tolist()
        ]
        rest = float(shap[order[most:]].sum())
        rows.append({"score": float(shap.sum()), "base": float(shap[-1]), "features": shown, "others": rest})
    return rows


def mean_importance(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over models of each feature's share, the largest first; empty without models."""
    names = dict.fromkeys(name for share in shares for name in share)
    mean = {name: float(np.mean([share.get(name, 0.0) for share in shares])) for name in names}
    return dict(sorted(mean.items(), key=lambda pair: -pair[1]))
