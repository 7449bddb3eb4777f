"""Folds over users: no user is scored by a model that learned from it.

The fold of a user is a function of its number alone. So a user has the same fold in the validation rows and in the test
rows, without a table of users.
"""

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mixed(numbers: NDArray[np.integer], salt: int) -> NDArray[np.uint64]:
    """Numbers spread evenly over 64 bits, uint64 as given: the finalizer of SplitMix64 (Steele et al., OOPSLA 2014).

    Any int64 is taken, also negative and new ones; the same on every machine.
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2 ** 64 is meant
        value = np.asarray(numbers, dtype=np.int64).astype(np.uint64) + np.uint64(salt + 1) * _GOLDEN
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))


def fold_of(user: NDArray[np.integer], num_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each user, int64 [R], 0 to num_folds - 1. Folds are nearly equal in size, never exactly."""
    return (mixed(user, seed) % np.uint64(num_folds)).astype(np.int64)
