"""Popularity that fades: an old event counts less than a new one.

The weight of a training event is 2 ** (-age / half_life), where its age is the share of all training events that
happened after it. Counting age in events, not in days, keeps one setting right for a shop of any speed, and for data
whose timestamps are mere positions. Popularity by recent events is a stronger yardstick than popularity by all of them
(Ji et al., "A re-visit of the popularity baseline in recommender systems", SIGIR 2020).
"""

from dataclasses import dataclass

import numpy as np

from genrec.recall.parts.scorer import Training, flatten, positions
from genrec.recall.popularity import Popularity
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Recency-weighted popularity."""

    half_life: float = setting(
        0.1, "An event counts half when this share of all training events is newer.", gt=0, le=100
    )


CHOICES = {"half_life": (0.03, 0.1, 0.3, 1.0)}
load = Popularity.load


def fit(data: Training, options: Config) -> Popularity:
    """Sum the faded training events of each item; without timestamps the position in the sequence is the time."""
    rows, items = flatten(data.sequences, data.num_items)
    if data.timestamps is None:
        times, _ = positions(rows, len(data.sequences))
    else:
        times = np.concatenate([*data.timestamps, np.empty(0, np.int64)])
    newer = len(times) - np.searchsorted(np.sort(times), times, side="right")
    weights = np.exp2(-newer / max(len(times), 1) / options.half_life)
    return Popularity(np.bincount(items, weights, minlength=data.num_items).astype(np.float32))
