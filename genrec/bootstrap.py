"""Percentile bootstrap over users (Efron & Tibshirani 1993, chapter 13), shared by intervals and paired comparisons.

Users, not rows, are resampled, so several test rows of one user stay together. Every metric of every model is summed
under the same resamples: differences between models are paired by construction.
"""

import numpy as np
from numpy.typing import NDArray

_CELLS = 1 << 23  # multiplicities held at once: 64 MiB as float64


def sums_by_user(users: NDArray[np.integer], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum rows [n, M] of the same user: float64 [num distinct users, M], users ascending."""
    _, index = np.unique(users, return_inverse=True)
    sums = np.zeros((int(index.max()) + 1 if len(index) else 0, rows.shape[1]))
    np.add.at(sums, index, rows)
    return sums


def resampled_sums(per_user: NDArray[np.float64], num_bootstrap: int, seed: int) -> NDArray[np.float64]:
    """Column sums over users drawn with replacement. per_user [U, M] -> float64 [num_bootstrap, M].

    Deterministic in `seed`, and independent of how many columns are asked for.
    """
    num_users = len(per_user)
    generator = np.random.default_rng(seed)
    sums = np.empty((num_bootstrap, per_user.shape[1]))
    chunk = max(1, _CELLS // max(num_users, 1))
    for start in range(0, num_bootstrap, chunk):
        size = min(chunk, num_bootstrap - start)
        drawn = generator.integers(0, num_users, size=(size, num_users)) + np.arange(size)[:, None] * num_users
        times = np.bincount(drawn.ravel(), minlength=size * num_users).reshape(size, num_users)
        sums[start : start + size] = times.astype(np.float64) @ per_user
    return sums


def paired_intervals(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    users: NDArray[np.integer],
    *,
    confidence: float,
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Intervals float64 [M, 2] of the mean of after - before, two figures [n, M] of the same rows; `users` [n] are theirs."""
    changes = np.column_stack([after - before, np.ones(len(users))])
    sums = resampled_sums(sums_by_user(users, changes), num_bootstrap, seed)
    return np.array([interval(ratio(column, sums[:, -1]), confidence) for column in sums[:, :-1].T])


def ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means from sums; NaN where a resample holds no row of the slice."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return numerator / denominator


def interval(samples: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Percentile interval of one statistic over its resamples [R] (NaN resamples left out)."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def share_in_favour(differences: NDArray[np.float64]) -> float:
    """Share of the resamples in which the difference is positive; a tie counts half."""
    return float(np.mean(differences > 0) + 0.5 * np.mean(differences == 0))
