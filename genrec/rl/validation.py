"""The gate: HR@10 and NDCG@10 on validation users, full catalogue, items of the history left out."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from genrec.errors import DataError
from genrec.evaluate import metrics
from genrec.lm.decode import rank_users
from genrec.lm.policy import Policy
from genrec.lm.trie import Trie
from genrec.schemas import TARGETS, read_table

CUTOFF = 10
BEAM_WIDTH = 20


class Validation:
    """A fixed sample of validation users, the same for every model that is asked about them."""

    def __init__(self, targets: Path, max_users: int, trie: Trie, sids: np.ndarray) -> None:
        """targets: valid.parquet. sids: int32[N, L]. Raises DataError when there are no users."""
        table = read_table(targets, TARGETS, columns=["history", "target"])
        if not table.num_rows:
            raise DataError(f"{targets.name}: no validation users, so nothing tells whether training helps")
        rows = np.arange(table.num_rows)
        if len(rows) > max_users:
            rows = np.sort(np.random.default_rng(0).permutation(len(rows))[:max_users])
        table = table.take(pa.array(rows))
        self.histories = [np.asarray(h, dtype=np.int64) for h in table["history"].to_pylist()]
        self.target = table["target"].to_numpy().astype(np.int64)
        self.trie, self.sids = trie, sids

    def __call__(self, policy: Policy) -> tuple[float, float]:
        """HR@10 and NDCG@10, means over the users."""
        items, _ = rank_users(policy, self.histories, self.sids, self.trie, BEAM_WIDTH, banned=self.histories)
        ranks = metrics.target_ranks(items, self.target)
        return float(metrics.hit(ranks, CUTOFF).mean()), float(metrics.ndcg(ranks, CUTOFF).mean())
