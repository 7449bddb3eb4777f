"""Random semantic ids for measurements."""

import sys

import numpy as np


def random_ids(num_items: int, num_levels: int, num_codes: int, seed: int = 0) -> np.ndarray:
    """Unique ids int32[N, L] with uneven first codes, as k-means gives."""
    rng = np.random.default_rng(seed)
    first = rng.zipf(1.3, 8 * num_items) % num_codes
    rest = rng.integers(0, 48, (8 * num_items, num_levels - 1))
    sids = np.unique(np.column_stack([first, rest]), axis=0)
    if len(sids) < num_items:
        sys.exit(f"only {len(sids)} distinct ids drawn; ask for fewer items")
    return rng.permutation(sids)[:num_items].astype(np.int32)
