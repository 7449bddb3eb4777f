"""Whether items that are alike, or bought together, share the first codes of their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genrec.sid.nearest import nearest
from genrec.sid.prefixes import distinct_prefixes
from genrec.sid.repair import rank_within

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NUM_NEIGHBOURS = 10
MAX_QUERIES = 2000  # items whose neighbours are looked up: a random sample of a larger catalogue


def prefix_agreement(
    codes: np.ndarray, text: np.ndarray | None = None, counts: csr_array | None = None, seed: int = 0
) -> dict[str, Any]:
    """Share of nearest neighbours with the same first code, the same first two, ... (up to two).

    Args:
        codes: int [N, L].
        text: float32 [N, d]: neighbours by cosine; zero rows take no part.
        counts: symmetric co-occurrence counts [N, N]: neighbours by count / sqrt(count of i x count of j).
        seed: of the sample of items.

    Returns:
        {"text": [share at depth 1, 2], "cooccurrence": [...], "chance": [...]}: chance is the share of all pairs of
        items. Without any neighbours a list is empty.
    """
    depths = range(1, min(2, codes.shape[1]) + 1)
    shares: dict[str, Any] = {"chance": [_chance(codes[:, :depth]) for depth in depths]}
    pairs = {}
    if text is not None:
        pairs["text"] = text_neighbours(text, _sample(np.flatnonzero(text.any(axis=1)), seed))
    if counts is not None:
        pairs["cooccurrence"] = cooccurrence_neighbours(counts, _sample(np.flatnonzero(np.diff(counts.indptr)), seed))
    for name, (items, neighbours) in pairs.items():
        same = codes[items] == codes[neighbours]
        shares[name] = [float(same[:, :depth].all(axis=1).mean()) for depth in depths] if len(items) else []
    return shares


def text_neighbours(vectors: np.ndarray, queries: np.ndarray, k: int = NUM_NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
    """(items, neighbours), int64 [pairs]: the k items, other than itself, of the highest cosine to each of `queries`."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.ascontiguousarray(vectors / np.maximum(norms, 1e-30), dtype=np.float32)
    pool = np.flatnonzero(norms[:, 0] > 0)
    k = min(k, len(pool) - 1)
    if k < 1 or not len(queries):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    neighbours = pool[nearest(unit[queries], unit[pool], k + 1)[1]]
    items = np.repeat(queries, k + 1)
    others = neighbours.reshape(-1) != items
    # An item with many copies may be missing among its own neighbours: then the last of the k + 1 is dropped.
    kept = others & (rank_within(np.where(others, items, -1)) < k)
    return items[kept], neighbours.reshape(-1)[kept]


def cooccurrence_neighbours(
    counts: csr_array, queries: np.ndarray, k: int = NUM_NEIGHBOURS
) -> tuple[np.ndarray, np.ndarray]:
    """(items, neighbours), int64 [pairs]: the up to k items each of `queries` occurs with most, for their frequency."""
    totals = np.asarray(counts.sum(axis=1)).reshape(-1)
    rows = counts[queries].tocoo()
    items, others = queries[rows.coords[0]], rows.coords[1]
    strength = rows.data / np.sqrt(totals[items] * totals[others])
    order = np.lexsort((others, -strength))
    order = order[rank_within(items[order]) < k]
    return items[order].astype(np.int64), others[order].astype(np.int64)


def _sample(items: np.ndarray, seed: int) -> np.ndarray:
    if len(items) <= MAX_QUERIES:
        return items
    return np.sort(np.random.default_rng(seed).choice(items, MAX_QUERIES, replace=False))


def _chance(prefixes: np.ndarray) -> float:
    """Share of the pairs of different items that have the same prefix."""
    counts = distinct_prefixes(prefixes).counts
    total = len(prefixes)
    return float((counts.astype(np.float64) * (counts - 1)).sum() / (total * (total - 1))) if total > 1 else 0.0
