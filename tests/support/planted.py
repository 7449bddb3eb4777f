"""How much of the planted structure simple recommenders find in prepared data (leave-one-out, seen items dropped)."""

from pathlib import Path

import numpy as np
from scipy import sparse

from genrec import tables
from genrec.data.targets import read_targets
from genrec.tables import ragged


def planted_structure(prepared: Path, k: int = 10) -> dict[str, float]:
    """HR@k on test.parquet, full catalogue, of three recommenders fitted on train.parquet.

    popularity: training count; itemcf: cosine of the users two items share, summed over the whole history;
    transitions: how often an item directly followed the last one of the history, itemcf breaking ties.
    """
    num_items = tables.read_table(prepared / "catalogue.parquet").num_rows
    train = ragged(tables.read_table(prepared / "train.parquet", columns=["items"])["items"])
    test = read_targets(prepared / "test.parquet")
    histories, targets = test.histories, test.targets
    bought = _incidence(train, num_items)
    together = (bought.T @ bought).toarray()
    counts = np.diag(together).copy()
    np.fill_diagonal(together, 0)
    norms = np.sqrt(np.maximum(counts, 1))
    similarity = together / norms[:, None] / norms[None, :]
    steps = np.concatenate([np.stack([row[:-1], row[1:]]) for row in train], axis=1)
    follows = sparse.coo_array((np.ones(steps.shape[1]), (steps[0], steps[1])), (num_items, num_items)).toarray()
    seen = _incidence(histories, num_items)
    last = np.array([row[-1] for row in histories])
    flat = seen @ similarity
    scores = {
        "popularity": np.broadcast_to(counts, flat.shape),
        "itemcf": flat,
        "transitions": follows[last] / np.maximum(counts[last], 1)[:, None] + 1e-3 * flat,
    }
    return {name: _hit_rate(np.where(seen.toarray() > 0, -np.inf, s), targets, k) for name, s in scores.items()}


def _incidence(rows: list[np.ndarray], num_items: int) -> sparse.csr_array:
    users = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    shape = (len(rows), num_items)
    return (sparse.coo_array((np.ones(len(users)), (users, np.concatenate(rows))), shape).tocsr() > 0).astype(float)


def _hit_rate(scores: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Share of the rows whose target is among the k best; ties count against it in half."""
    own = scores[np.arange(len(targets)), targets][:, None]
    rank = (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
    return float((rank < k).mean())
