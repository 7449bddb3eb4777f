"""How many ids change from one tokenizer to the next."""

from typing import Any

import numpy as np
import pyarrow as pa

from genrec.errors import DataError


def churn(old: np.ndarray, new: np.ndarray) -> dict[str, Any]:
    """Changes between two sets of ids of the same items.

    Args:
        old, new: int [N, L], row by row the same item.

    Returns:
        For prefixes of 1..L codes: `changed`, the share of items whose prefix is another one; and `pairs_kept` for
        1..L-1 codes, the share of item pairs with a common prefix that have one afterwards too, whatever the codes
        are called. A new seed renames codes, so nearly everything changes; pairs say whether the grouping does. None
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


def churn_between(old: pa.Table, old_catalogue: pa.Table, new: pa.Table, new_catalogue: pa.Table) -> dict[str, Any]:
    """Changes between two sid artifacts whose catalogues differ: `churn` of the common items, and how many came and went.

    Args:
        old, new: tables of sids.parquet.
        old_catalogue, new_catalogue: tables of catalogue.parquet, row i being item i.
    """
    before = {item: row for row, item in enumerate(old_catalogue["item_id"].to_pylist())}
    pairs = [(before[item], row) for row, item in enumerate(new_catalogue["item_id"].to_pylist()) if item in before]
    if not pairs:
        raise DataError("the two catalogues have no item in common: compare runs of the same shop")
    rows = np.array(pairs)
    found = churn(_ids(old)[rows[:, 0]], _ids(new)[rows[:, 1]])
    gone = len(before) - len(rows)
    return {**found, "num_new": new_catalogue.num_rows - len(rows), "num_gone": gone}


def _ids(table: pa.Table) -> np.ndarray:
    column = table["sid"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


def _num_pairs(prefixes: np.ndarray) -> int:
    _, counts = np.unique(prefixes, axis=0, return_counts=True)
    return int((counts.astype(np.int64) * (counts - 1) // 2).sum())
