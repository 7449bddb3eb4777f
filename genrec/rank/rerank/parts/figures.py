"""What lists are worth: figures of each list, and a table of what steps gain and cost, with paired intervals over users."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.bootstrap import interval, ratio, resampled_sums, sums_by_user
from genrec.rank.rerank.parts.lists import Floats, Ints, Lists
from genrec.rank.rerank.parts.similarity import unit_vectors

PURCHASES_AMONG_HITS = "purchases_among_hits"


def discounts(k: int) -> NDArray[np.float64]:
    """1 / log2(place + 2) of the places from 0, the gain of NDCG. [k]"""
    return 1 / np.log2(np.arange(k) + 2.0)


def of_lists(lists: Lists, shown: Ints, wanted: Sequence[str] | None = None) -> dict[str, NDArray[np.float64]]:
    """Figures of each list, float64 [U], by name; NaN where a list has none.

    shown: int64 [U, k] columns, -1 = none (`genrec.rank.rerank.parts.lists.shown`). With an outcome: `ndcg@k`, `hr@k`
    (chance that the next item is listed), `purchases@k` (that it is and is bought) and, for each of price and margin that
    the lists have, `earned_price@k` (of purchases; the mean of the list's candidates where it is unknown). Always:
    `diversity@k` (mean over the pairs of 1 - cosine similarity), `categories@k` (different ones), and the mean over the
    items of each aim that is known of them (`novelty@k` in bits, `new@k`, `price@k`, ...), the chances by the ranker aside.
    wanted: the names to measure; all by default.
    """
    k = shown.shape[1]
    listed = shown >= 0
    figures: dict[str, NDArray[np.float64]] = {}
    if lists.outcome is not None:
        coming, bought = (_at(lists.outcome[name], shown, 0) for name in ("next", "purchase"))
        figures[f"ndcg@{k}"] = coming @ discounts(k)
        figures[f"hr@{k}"], figures[f"purchases@{k}"] = coming.sum(axis=1), bought.sum(axis=1)
        for name in ("price", "margin"):
            if name in lists.aims:
                figures[f"earned_{name}@{k}"] = (bought * _at(filled(lists, name), shown, 0)).sum(axis=1)
    for name, measure in (("diversity", _diversity), ("categories", _num_categories)):
        if wanted is None or f"{name}@{k}" in wanted:
            figures[f"{name}@{k}"] = measure(lists, shown)
    for name in sorted(lists.aims):
        if name not in ("click", "purchase") and (wanted is None or f"{name}@{k}" in wanted):
            values = _at(lists.aims[name], shown, np.nan)
            known = listed & np.isfinite(values)
            total = np.where(known, values, 0).sum(axis=1)
            figures[f"{name}@{k}"] = np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
    return figures


def filled(lists: Lists, name: str) -> Floats:
    """An aim [U, C] with the mean of the list's candidates where it is unknown, and the mean of all where none is known."""
    values = lists.aims[name]
    known = lists.present & np.isfinite(values)
    overall = float(values[known].mean()) if known.any() else 0.0
    count = known.sum(axis=1)
    mean = np.where(count > 0, np.where(known, values, 0).sum(axis=1) / np.maximum(count, 1), overall)
    return np.where(known, values, mean[:, None]).astype(np.float32)


def table(
    lists: Lists,
    steps: Sequence[tuple[str, Ints]],
    *,
    users: Ints | None = None,
    confidence: float = 0.95,
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """What each step gains and costs, one row a step and figure.

    steps: names with the columns shown after them, int64 [U, k] of the same `lists`, the first one what the others
    started from. users: whose each list is, int64 [U]; by default every list has a user of its own. Rows: {step, figure,
    before, after, difference, ci}; `before` is of the step before, `ci` the paired percentile interval of the difference
    over users (all null where no list has the figure). `purchases_among_hits` is the share of the hits that were bought,
    a ratio of sums.
    """
    measured = [(name, of_lists(lists, shown)) for name, shown in steps]
    k, labels, parts = steps[0][1].shape[1], [], []
    for (_, before), (name, after) in itertools.pairwise(measured):
        for figure in after:
            known = np.isfinite(before[figure]) & np.isfinite(after[figure])
            values = (np.where(known, side[figure], 0) for side in (before, after))
            parts += [column for value in values for column in (value, known.astype(np.float64))]
            labels.append({"step": name, "figure": figure})
        if lists.outcome is not None:
            parts += [side[f"{part}@{k}"] for side in (before, after) for part in ("purchases", "hr")]
            labels.append({"step": name, "figure": PURCHASES_AMONG_HITS})
    if not parts:
        return []
    per_user = sums_by_user(np.arange(len(lists)) if users is None else users, np.column_stack(parts))
    sums, drawn = per_user.sum(axis=0), resampled_sums(per_user, num_bootstrap, seed)  # one draw for all figures
    return [
        label | _compared(sums[4 * at : 4 * at + 4], drawn[:, 4 * at : 4 * at + 4], confidence)
        for at, label in enumerate(labels)
    ]


def _compared(sums: NDArray[np.float64], drawn: NDArray[np.float64], confidence: float) -> dict[str, Any]:
    """Two ratios of sums, numerator and denominator before and after [4], and the interval of their difference over
    resamples [R, 4].
    """
    if sums[1] == 0 or sums[3] == 0:
        return {"before": None, "after": None, "difference": None, "ci": None}
    first, second = float(sums[0] / sums[1]), float(sums[2] / sums[3])
    changes = ratio(drawn[:, 2], drawn[:, 3]) - ratio(drawn[:, 0], drawn[:, 1])
    found = list(interval(changes, confidence)) if np.isfinite(changes).any() else None
    return {"before": first, "after": second, "difference": second - first, "ci": found}


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table in plain text, a line a step and figure."""
    lines = [f"{'step':14}{'figure':24}{'before':>10}{'after':>10}{'difference':>12}  interval"]
    for row in rows:
        if row["difference"] is not None:
            span = "" if row["ci"] is None else "  {:+.4f} to {:+.4f}".format(*row["ci"])
            lines.append(
                f"{row['step']:14}{row['figure']:24}{row['before']:10.4f}{row['after']:10.4f}{row['difference']:+12.4f}{span}"
            )
    return "\n".join(lines)


def _at(matrix: Floats, shown: Ints, missing: float) -> NDArray[np.float64]:
    """Values [U, C] of the columns shown [U, k]; `missing` where nothing is."""
    return np.where(shown >= 0, np.take_along_axis(matrix, np.maximum(shown, 0), axis=1), missing).astype(np.float64)


def _diversity(lists: Lists, shown: Ints) -> NDArray[np.float64]:
    """Mean over the pairs of a list of 1 - cosine similarity, float64 [U]; NaN for fewer than two items.

    The sum over the pairs is (|sum of the unit vectors|^2 - the sum of |unit vector|^2) / 2.
    """
    result = np.full(len(lists), np.nan)
    for rows, vectors in unit_vectors(lists, shown):
        count = (shown[rows] >= 0).sum(axis=1)
        pairs = count * (count - 1) / 2
        similar = ((vectors.sum(axis=1) ** 2).sum(axis=1) - (vectors**2).sum(axis=(1, 2))) / 2
        result[rows] = np.where(pairs > 0, 1 - similar / np.maximum(pairs, 1), np.nan)
    return result


def _num_categories(lists: Lists, shown: Ints) -> NDArray[np.float64]:
    category = np.sort(_at(lists.of_items(lists.facts.category, -1), shown, -1), axis=1)
    first = np.diff(category, axis=1, prepend=-1) != 0
    return (first & (category >= 0)).sum(axis=1).astype(np.float64)
