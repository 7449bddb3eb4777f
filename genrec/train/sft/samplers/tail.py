"""Targets from the long tail count more.

A weight in the loss is what drawing such targets more often comes to on average, without reading anything twice.
"""

from dataclasses import dataclass

import numpy as np

from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Settings of the sampler."""

    factor: float = setting(1.5, "How many times a tail target counts.", gt=0, le=100)
    tail_share: float = setting(
        0.2, "The tail: the least popular items that together make up this share of all training events.", gt=0, lt=1
    )


def target_weights(counts: np.ndarray, options: Config) -> np.ndarray:
    """`factor` for tail items, 1 for the others. Items with the same count are in the tail together or not at all."""
    order = np.argsort(counts, kind="stable")
    events = np.cumsum(counts[order])
    last = int(np.searchsorted(events, options.tail_share * events[-1], side="right"))  # items wholly inside the share
    limit = counts[order[last]] if last < len(order) else counts.max() + 1
    return np.where(counts < limit, options.factor, 1.0).astype(np.float32)


def num_extra(num_windows: int, options: Config) -> int:
    """No second pass."""
    return 0


def second_pass(losses: np.ndarray, options: Config) -> np.ndarray:
    """None."""
    return np.empty(0, dtype=np.int64)
