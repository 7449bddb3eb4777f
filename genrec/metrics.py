"""Ranking metrics at item level over the full catalogue; one relevant item a row (the target).

HR@k (hit rate, with one target the same as recall@k) is 1 when the target is among the first k, NDCG@k is
1 / log2(rank + 2) then and 0 otherwise (the ideal DCG is 1). Jarvelin & Kekalainen, TOIS 2002; full ranking rather than
sampled negatives: Krichene & Rendle, KDD 2020.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def target_ranks(items: NDArray[np.integer], targets: NDArray[np.integer]) -> NDArray[np.int32]:
    """0-based place of each target in its list, -1 when absent. items [n, W] (-1 = no item), targets [n] -> int32 [n]."""
    hits = items == targets[:, None]
    if items.shape[1] == 0:
        return np.full(len(targets), -1, dtype=np.int32)
    return np.where(hits.any(axis=1), hits.argmax(axis=1), -1).astype(np.int32)


def hit(ranks: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """HR@k of each row: 0 or 1."""
    return ((ranks >= 0) & (ranks < k)).astype(np.float64)


def ndcg(ranks: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """NDCG@k of each row, between 0 and 1."""
    return hit(ranks, k) / np.log2(np.maximum(ranks, 0) + 2.0)


def metric_names(ks: Sequence[int]) -> list[str]:
    """The columns of `row_metrics`: hr@k of every k, then ndcg@k of every k."""
    return [f"{name}@{k}" for name in ("hr", "ndcg") for k in ks]


def row_metrics(ranks: NDArray[np.integer], ks: Sequence[int]) -> NDArray[np.float64]:
    """Every metric of every row, float64 [n, 2 * len(ks)], columns as `metric_names`."""
    return np.stack([function(ranks, k) for function in (hit, ndcg) for k in ks], axis=1)


def coverage(items: NDArray[np.integer], k: int, num_items: int) -> float:
    """Share of the catalogue that appears in at least one top-k list. items [n, W], -1 = no item."""
    listed = np.unique(items[:, :k])
    return float((listed >= 0).sum() / num_items) if num_items else 0.0


def popularity_groups(train_counts: NDArray[np.integer], head_share: float) -> dict[str, NDArray[np.bool_]]:
    """Masks over the catalogue: head, tail and cold partition the items.

    cold items have no training event; head is the `head_share` of all items with the most training events (equal
    counts: the lower index first; never a cold item); tail is the rest.
    """
    num_head = round(head_share * len(train_counts))
    order = np.argsort(-train_counts, kind="stable")
    cold = train_counts == 0
    head = np.zeros(len(train_counts), dtype=bool)
    head[order[:num_head]] = True
    head &= ~cold
    return {"head": head, "tail": ~head & ~cold, "cold": cold}
