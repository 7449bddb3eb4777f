"""Every target once an epoch."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Config:
    """No settings."""


def target_weights(counts: np.ndarray, options: Config) -> np.ndarray:
    """All 1."""
    return np.ones(len(counts), dtype=np.float32)


def num_extra(num_windows: int, options: Config) -> int:
    """No second pass."""
    return 0


def second_pass(losses: np.ndarray, options: Config) -> np.ndarray:
    """None."""
    return np.empty(0, dtype=np.int64)
