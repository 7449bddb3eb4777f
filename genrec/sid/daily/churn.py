"""How many ids change from one tokenizer to the next."""

from typing import Any

import numpy as np

from genrec.errors import DataError
from genrec.sid.prefixes import distinct_prefixes


def churn(old: np.ndarray, new: np.ndarray) -> dict[str, Any]:
    """Changes between two sets of ids of the same items.

    Args:
        old, new: int [N, L], row by row the same item.

    Returns:
        For prefixes of 1..L codes: `changed`, the share of items whose prefix is another one; and `pairs_kept` for
        1..L-1 codes, the share of item pairs with a common prefix that have a common one afterwards too, whatever its
        codes. A new seed renumbers the codes, so that nearly all ids change; the pairs show whether the groups do. None
        where no pair shared a prefix.
    """
    if old.shape != new.shape:
        raise DataError(f"ids of shapes {old.shape} and {new.shape} cannot be compared: they must be of the same items")
    changed, kept = [], []
    for depth in range(1, old.shape[1] + 1):
        changed.append(float(np.mean((old[:, :depth] != new[:, :depth]).any(axis=1))))
        before = _num_pairs(old[:, :depth])
        both = _num_pairs(np.concatenate([old[:, :depth], new[:, :depth]], axis=1))
        kept.append(both / before if before else None)
    return {"num_items": len(old), "changed": changed, "pairs_kept": kept[:-1]}


def _num_pairs(prefixes: np.ndarray) -> int:
    counts = distinct_prefixes(prefixes).counts
    return int((counts.astype(np.int64) * (counts - 1) // 2).sum())
