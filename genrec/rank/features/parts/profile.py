"""Profiles of users, from their histories alone, and the segments that k-means finds in those of training."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from genrec.rank.features.parts.queries import Queries
from genrec.rank.features.parts.tables import Tables, days
from genrec.recall.parts.scorer import Training, flatten

NAMES = {
    "user_events": "log(1 + events of the history)",
    "user_categories": "log(1 + different most specific categories of the history)",
    "user_breadth": "1 - length of the mean text vector of the history, 0..1: the higher, the less alike its items",
    "user_head_share": "share of the history among the fifth of the catalogue with the most training events, 0..1",
    "user_popularity": "mean over the history of log(1 + training events of the item)",
    "user_price": "mean log price of the history",
    "user_purchases": "share of the history's events that are purchases, 0..1",
    "user_recency_days": "log(1 + days from the last event to the moment)",
    "user_gap_days": "log(1 + mean days between events)",
}
SEGMENT = "user_segment"
_SEGMENTS = 8


def profiles(tables: Tables, queries: Queries) -> dict[str, NDArray[np.float32]]:
    """float32 [U] by the names of NAMES; NaN where it is not known, as for an empty history."""
    owner, items = flatten(queries.histories, np.iinfo(np.int32).max)
    rows, number = tables.rows(items), len(queries)
    length = np.bincount(owner, minlength=number)

    def means(values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Of rows [M, E] over each history, what is missing left out: [M, U]."""
        known, size = ~np.isnan(values), number * len(values)
        place = (owner + number * np.arange(len(values))[:, None]).ravel()
        count = np.bincount(place, known.ravel(), minlength=size)
        total = np.bincount(place, np.where(known, values, 0).ravel(), minlength=size)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32).reshape(len(values), number)

    known = rows < tables.num_items
    of_items = [np.where(known, tables.is_head[rows], np.nan), tables.log_counts[rows], tables.prices[rows]]
    head_share, popularity, price = means(np.stack(of_items))
    return {
        "user_events": np.log1p(length).astype(np.float32),
        "user_categories": _categories(owner, tables.leaf[rows], number),
        "user_breadth": _breadth(owner, tables.vectors[rows], number),
        "user_head_share": head_share,
        "user_popularity": popularity,
        "user_price": price,
        "user_purchases": _purchases(queries, means),
        **_times(tables, queries, length),
    }


def _categories(owner: NDArray[np.int64], leaf: NDArray[np.int64], number: int) -> NDArray[np.float32]:
    named = leaf >= 0
    if number == 1:
        different = len(set(leaf[named].tolist()))
        return np.where([different > 0], np.log1p([different]), np.nan).astype(np.float32)
    pairs = np.unique(owner[named] * (leaf.max(initial=0) + 1) + leaf[named]) // (leaf.max(initial=0) + 1)
    count = np.bincount(pairs.astype(np.int64), minlength=number)
    return np.where(np.bincount(owner[named], minlength=number) > 0, np.log1p(count), np.nan).astype(np.float32)


def _breadth(owner: NDArray[np.int64], vectors: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    has_text = vectors.any(axis=1)
    count = np.bincount(owner[has_text], minlength=number)
    if number == 1:
        total = vectors.sum(axis=0, keepdims=True)
    else:
        total = np.zeros((number, vectors.shape[1]), dtype=np.float32)
        np.add.at(total, owner, vectors)
    length = np.linalg.norm(total, axis=1) / np.maximum(count, 1)
    return np.where(count > 0, 1 - length, np.nan).astype(np.float32)


def _purchases(queries: Queries, means) -> NDArray[np.float32]:
    """Missing where no event of any history is a purchase: the data has no such kind."""
    if queries.bought is None or not len(queries):
        return np.full(len(queries), np.nan, dtype=np.float32)
    return means(np.concatenate([*queries.bought, np.empty(0, bool)]).astype(np.float64)[None])[0]


def _times(tables: Tables, queries: Queries, length: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    missing = np.full(len(queries), np.nan, dtype=np.float32)
    if queries.times is None or not tables.has_times:
        return {"user_recency_days": missing, "user_gap_days": missing.copy()}
    last, first = (np.array([t[place] if len(t) else 0 for t in queries.times], dtype=np.int64) for place in (-1, 0))
    recency = missing
    if queries.now is not None:
        passed = np.maximum(queries.now - last, 0)
        recency = np.where(length > 0, np.log1p(days(passed)), np.nan).astype(np.float32)
    gap = np.where(length > 1, np.log1p(days((last - first) / np.maximum(length - 1, 1))), np.nan)
    return {"user_recency_days": recency, "user_gap_days": gap.astype(np.float32)}


# ---- segments ---------------------------------------------------------------------------------------------------------


def with_segments(tables: Tables, data: Training, seed: int = 0, segments: int = _SEGMENTS) -> Tables:
    """The tables with the centres of k-means over the training users' profiles; the moment is their last event.

    A value that is missing counts as the mean; one that is the same for all, or missing for all, counts for nothing.
    """
    users = [np.asarray(sequence) for sequence in data.sequences if len(sequence)]
    times = None
    if data.timestamps is not None:
        times = [np.asarray(t) for t, s in zip(data.timestamps, data.sequences, strict=True) if len(s)]
    queries = Queries(users, times)
    values = np.stack([*profiles(tables, queries).values()], axis=1)
    if not len(users):
        return tables
    from sklearn.cluster import KMeans

    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (values - mean) ** 2, 0).sum(axis=0) / count)
    scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0)
    tables = dataclasses.replace(tables, profile_mean=mean.astype(np.float32), profile_scale=scale.astype(np.float32))
    points = _standardised(tables, values)
    number = min(segments, len(np.unique(points, axis=0)))
    found = KMeans(number, n_init=4, random_state=seed).fit(points)
    order = np.argsort(-np.bincount(found.labels_, minlength=number), kind="stable")  # segment 0 is the largest
    return dataclasses.replace(tables, centres=found.cluster_centers_[order].astype(np.float32))


def segment(tables: Tables, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [U]: the nearest segment of profiles [U, P]; NaN without segments."""
    if not len(tables.centres):
        return np.full(len(values), np.nan, dtype=np.float32)
    points = _standardised(tables, values)
    distance = ((points[:, None, :] - tables.centres[None]) ** 2).sum(axis=2)
    return distance.argmin(axis=1).astype(np.float32)


def _standardised(tables: Tables, values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num((values - tables.profile_mean) * tables.profile_scale, nan=0.0)
