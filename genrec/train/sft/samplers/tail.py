"""Targets from the long tail count more: they are drawn more often, or weigh more in the loss.

Up-sampling (`repeat`) reads the windows that hold tail targets again, with the loss at these alone, so that a tail target
is seen with another dropout and another augmentation each time; a weight comes to the same on average without reading
anything twice.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Settings of the sampler."""

    factor: float = setting(1.5, "How many times a tail target counts.", ge=1, le=100)
    mode: Literal["repeat", "weight"] = setting(
        "repeat",
        "repeat: a tail target is drawn that many times an epoch, on average. weight: it is drawn once and its loss is "
        "multiplied.",
    )
    tail_share: float = setting(
        0.2, "The tail: the least popular items that together make up this share of all training events.", gt=0, lt=1
    )


def target_weights(counts: np.ndarray, options: Config) -> np.ndarray:
    """`factor` for tail items where they are weighed, 1 for all else."""
    factor = options.factor if options.mode == "weight" else 1.0
    return np.where(_is_tail(counts, options.tail_share), factor, 1.0).astype(np.float32)


def drawn_again(counts: np.ndarray, options: Config) -> tuple[np.ndarray, float]:
    """The tail items, `factor` - 1 times more where they are repeated."""
    return _is_tail(counts, options.tail_share), options.factor - 1 if options.mode == "repeat" else 0.0


def _is_tail(counts: np.ndarray, tail_share: float) -> np.ndarray:
    """bool[N]. Items with the same count are in the tail together or not at all."""
    order = np.argsort(counts, kind="stable")
    events = np.cumsum(counts[order])
    last = int(np.searchsorted(events, tail_share * events[-1], side="right"))  # items wholly inside the share
    limit = counts[order[last]] if last < len(order) else counts.max() + 1
    return counts < limit


def num_extra(num_windows: int, options: Config) -> int:
    """No second pass."""
    return 0


def second_pass(losses: np.ndarray, options: Config) -> np.ndarray:
    """None."""
    return np.empty(0, dtype=np.int64)
