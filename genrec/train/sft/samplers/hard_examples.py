"""Online hard examples: the windows with the highest loss are read a second time in the same epoch.

After Shrivastava et al. 2016 (Training Region-based Object Detectors with Online Hard Example Mining).
"""

import math
from dataclasses import dataclass

import numpy as np

from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Settings of the sampler."""

    share: float = setting(0.3, "Share of the windows that get a second pass each epoch.", gt=0, le=1)


def target_weights(counts: np.ndarray, options: Config) -> np.ndarray:
    """All 1."""
    return np.ones(len(counts), dtype=np.float32)


def num_extra(num_windows: int, options: Config) -> int:
    """`share` of the windows, rounded down, at least one."""
    return max(1, math.floor(options.share * num_windows))


def second_pass(losses: np.ndarray, options: Config) -> np.ndarray:
    """The windows with the highest mean loss in the first pass; of equals, those that come first."""
    hardest = np.argsort(-losses, kind="stable")[: num_extra(len(losses), options)]
    return np.sort(hardest)
