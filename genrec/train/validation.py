"""Validation during training: HR@10 and NDCG@10 over the full catalogue, items of the history left out."""

from pathlib import Path

import numpy as np

from genrec import metrics
from genrec.data.targets import read_targets
from genrec.model.policy import Policy
from genrec.progress import Progress, silent
from genrec.search.decode import rank_users
from genrec.search.trie import Trie
from genrec.tables import TARGETS, read_table
from genrec.train.learner_group import LearnerGroup

CUTOFF = 10
BEAM_WIDTH = 20
_SAMPLE_SEED = 0  # not the run's seed: every model is measured on the same users


class Validation:
    """A fixed random sample of validation users, the same for every model and every training stage."""

    def __init__(self, targets: Path, max_users: int, trie: Trie, sids: np.ndarray) -> None:
        """`targets` is valid.parquet; `sids` int[N, L]."""
        num_rows = read_table(targets, TARGETS, columns=["user"]).num_rows
        rows = np.arange(num_rows)
        if num_rows > max_users:
            rows = np.sort(np.random.default_rng(_SAMPLE_SEED).permutation(num_rows)[:max_users])
        valid = read_targets(targets, rows)
        self.rows = rows  # int64[U], their places in the file
        self.users, self.histories, self.targets = valid.users, valid.histories, valid.targets
        self.trie, self.sids = trie, sids

    def __len__(self) -> int:
        return len(self.targets)

    def __call__(self, policy: Policy, progress: Progress = silent) -> tuple[float, float]:
        """(HR@10, NDCG@10) of a policy, means over the users."""
        ranks = metrics.target_ranks(self.lists(policy, progress=progress), self.targets)
        return float(metrics.hit(ranks, CUTOFF).mean()), float(metrics.ndcg(ranks, CUTOFF).mean())

    def lists(
        self, policy: Policy, width: int = BEAM_WIDTH, *, drop_seen: bool = True, progress: Progress = silent
    ) -> np.ndarray:
        """Items int64[U, width] that a policy recommends, best first, -1 where there is none."""
        banned = self.histories if drop_seen else None
        return rank_users(policy, self.histories, self.sids, self.trie, width, banned=banned, progress=progress)[0]

    def in_group(self, group: LearnerGroup, policy: Policy) -> tuple[float, float]:
        """The same figures in every process of a group, so that all decide alike; the first one computes them."""
        hr, ndcg = self(policy) if group.first else (0.0, 0.0)
        hr, ndcg = group.sum_floats((hr, ndcg), policy.device)
        return hr, ndcg
