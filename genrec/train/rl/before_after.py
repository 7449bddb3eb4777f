"""What reinforcement learning changed on validation: the SFT model and the leading checkpoint, measured alike.

HR and NDCG at 1 to 50 tell a sharper top from a lost depth; then what the lists are like, what their hits were, and what
each term of the reward pays for them. Both models are decoded once, with 50 beams.
"""

from pathlib import Path
from typing import Any

import numpy as np

from genrec import bootstrap, metrics
from genrec.model.policy import Policy
from genrec.tables import CATALOGUE_FILE
from genrec.train.rl.valid_rewards import ValidRewards
from genrec.train.validation import CUTOFF, Validation

KS = (1, 5, 10, 20, 50)
HEAD_SHARE = 0.2  # of the items; the default of evaluate.head_share, which is not a setting of this stage
PURCHASE = "purchase"


class BeforeAfter:
    """Measures the models of one run on its validation rows."""

    def __init__(self, prepared: Path, validation: Validation, rewards: ValidRewards, drop_seen: bool) -> None:
        """`prepared` holds catalogue.parquet. `drop_seen` as for the gate: of the lists that are rewarded."""
        from genrec.list_metrics import ListMetrics  # scipy: training alone does without

        self.validation, self.rewards, self.drop_seen = validation, rewards, drop_seen
        catalogue = CATALOGUE_FILE.read(prepared, ["train_count", "categories"])
        self.lists = ListMetrics(catalogue, CUTOFF, HEAD_SHARE)

    def measure(self, policy: Policy) -> tuple[np.ndarray, dict[str, float]]:
        """Figures of every row, float64[U, M] in the order of `names`, and those of all lists together."""
        valid, width = self.validation, max(KS)
        lists = valid.lists(policy, width)
        rewarded = lists if self.drop_seen else valid.lists(policy, width, drop_seen=False)
        ranks = metrics.target_ranks(lists, valid.targets)
        by_term = self.rewards(rewarded)
        rows = np.column_stack([metrics.row_metrics(ranks, KS), by_term.sum(axis=1), by_term])
        return rows, self.lists(lists[:, :CUTOFF].astype(np.int32)) | self._purchases(ranks)

    @property
    def names(self) -> list[str]:
        """HR and NDCG at every cut-off, the reward, and each term of it."""
        return [*metrics.metric_names(KS), "reward", *(f"reward_{label}" for label in self.rewards.labels)]

    def _purchases(self, ranks: np.ndarray) -> dict[str, float]:
        """Share of the hits at 10 whose target was bought, where the data names purchases and there are hits."""
        names, hit = self.rewards.event_names, metrics.hit(ranks, CUTOFF) > 0
        if PURCHASE not in names or not hit.any():
            return {}
        bought = self.rewards.events == names.index(PURCHASE)
        return {f"purchases_among_hits@{CUTOFF}": float(bought[hit].mean())}

    def compare(
        self, before: tuple[np.ndarray, dict[str, float]], after: tuple[np.ndarray, dict[str, float]], confidence: float
    ) -> dict[str, Any]:
        """Two results of `measure` as {before, after: {figure: value}, change_ci: {figure: [low, high]}}, the intervals of
        what is a mean over rows, paired on the users.
        """
        ends = bootstrap.paired_intervals(before[0], after[0], self.validation.users, confidence=confidence)
        return {
            "before": self.figures(before),
            "after": self.figures(after),
            "change_ci": dict(zip(self.names, ends.tolist(), strict=True)),
        }

    def figures(self, measured: tuple[np.ndarray, dict[str, float]]) -> dict[str, float]:
        """A result of `measure` by figure, means over the rows."""
        rows, together = measured
        return dict(zip(self.names, rows.mean(axis=0).tolist(), strict=True)) | together
