"""Validation of channels: HR@10 and NDCG@10 over the full catalogue, items of the history left out."""

import numpy as np

from genrec import metrics
from genrec.recall.parts.ranking import rank
from genrec.recall.parts.scorer import Held, Scorer

CUTOFF = 10
_SAMPLE_SEED = 0  # not the run's seed: every channel is measured on the same users, as every model is


def sample(held: Held | None, most: int) -> Held | None:
    """A fixed random sample of at most `most` validation rows; None where there is none."""
    if held is None or not most or not len(held.targets):
        return None
    rows = np.arange(len(held.targets))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(_SAMPLE_SEED).permutation(rows)[:most])
    return Held([held.histories[row] for row in rows.tolist()], held.targets[rows])


def validate(scorer: Scorer, held: Held) -> tuple[float, float]:
    """(HR@10, NDCG@10), means over the rows, the items of a history left out of its ranking."""
    items, _ = rank(scorer, held.histories, CUTOFF, drop_seen=True)
    ranks = metrics.target_ranks(items, held.targets)
    return float(metrics.hit(ranks, CUTOFF).mean()), float(metrics.ndcg(ranks, CUTOFF).mean())
