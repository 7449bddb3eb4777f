"""The gate: whether a checkpoint may replace the SFT model.

Both are decoded for the same validation users. A checkpoint passes where the interval of its gain in the gate's metric
(`genrec.bootstrap`, paired on the users) lies above 0 and no guarded metric loses more than `max_loss` of what the SFT
model has: NDCG@10, and for a gate on NDCG@10 HR@10, because reinforcement learning easily buys the first place with the
tenth. Of those that pass the one with the highest metric is returned.

A run looks at the gate once a validation, and each look has its own chance of passing on luck: of a policy that changes
nothing but noise, some 2.5% at a level of 0.95, so more over a run of many. The figure of the best is the highest of
several too. What is returned is measured without either on the test set.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from genrec import bootstrap, metrics
from genrec.model.policy import Policy
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.valid_rewards import ValidRewards
from genrec.train.validation import CUTOFF, Validation

if TYPE_CHECKING:
    from genrec.config import GateConfig

GUARDS = {"ndcg@10": "hr@10", "hr@10": "ndcg@10", "reward": "ndcg@10"}  # of each metric of the gate


class Verdict(NamedTuple):
    """A checkpoint beside the SFT model; figures are means over the validation rows."""

    hr: float
    ndcg: float
    reward: float  # 0 where the gate's metric is another
    gain: float  # of the gate's metric
    low: float  # interval of the gain
    high: float
    loss: float  # share of the SFT model's figure that the guarded metric lost, 0 where it lost nothing
    guarded: bool  # the loss is allowed
    passed: bool


class Gate:
    """Judges the policies of one run on its validation users."""

    def __init__(
        self, config: "GateConfig", validation: Validation, rewards: ValidRewards, group: LearnerGroup, drop_seen: bool
    ) -> None:
        """`drop_seen`: whether the lists that are rewarded leave out items of the history, as the candidates of training
        do; hits are always measured without those.
        """
        self.config, self.validation, self.rewards = config, validation, rewards
        self.group, self.drop_seen = group, drop_seen
        self.names = ("hr@10", "ndcg@10", *(["reward"] if config.metric == "reward" else []))

    def rows(self, policy: Policy) -> np.ndarray:
        """Figures `names` of every validation row, float64[U, M]."""
        valid = self.validation
        lists = valid.lists(policy)
        ranks = metrics.target_ranks(lists, valid.targets)
        columns = [metrics.hit(ranks, CUTOFF), metrics.ndcg(ranks, CUTOFF)]
        if "reward" in self.names:
            columns.append(self.rewards(lists if self.drop_seen else valid.lists(policy, drop_seen=False)).sum(axis=1))
        return np.column_stack(columns)

    def start(self, policy: Policy) -> tuple[np.ndarray | None, dict[str, float]]:
        """The SFT model's rows, in the first process, and their means, in every process of the group."""
        rows = self.rows(policy) if self.group.first else None
        means = [0.0] * len(self.names) if rows is None else rows.mean(axis=0).tolist()
        return rows, dict(zip(self.names, self.group.sum_floats(means, policy.device), strict=True))

    def __call__(self, policy: Policy, sft: np.ndarray | None) -> Verdict:
        """The verdict on a policy beside the SFT model's rows, the same in every process: the first one decides."""
        numbers = [0.0] * len(Verdict._fields)
        if self.group.first:
            assert sft is not None
            numbers = [float(n) for n in self.judge(sft, self.rows(policy))]
        *figures, guarded, passed = self.group.sum_floats(numbers, policy.device)
        hr, ndcg, reward, gain, low, high, loss = figures
        return Verdict(hr, ndcg, reward, gain, low, high, loss, bool(guarded), bool(passed))

    def judge(self, sft: np.ndarray, rows: np.ndarray) -> Verdict:
        """The verdict by rows of figures, float64[U, M] each."""
        before, after = (self._named(figures.mean(axis=0)) for figures in (sft, rows))
        metric, guard = self.config.metric, GUARDS[self.config.metric]
        column = [self.names.index(metric)]
        ((low, high),) = bootstrap.paired_intervals(
            sft[:, column], rows[:, column], self.validation.users, confidence=self.config.confidence
        )
        loss = max(0.0, 1.0 - after[guard] / before[guard]) if before[guard] > 0 else 0.0
        guarded = loss <= self.config.allowed_loss
        return Verdict(
            hr=after["hr@10"],
            ndcg=after["ndcg@10"],
            reward=after.get("reward", 0.0),
            gain=after[metric] - before[metric],
            low=low,
            high=high,
            loss=loss,
            guarded=guarded,
            passed=guarded and low > 0,
        )

    def named(self, verdict: Verdict) -> dict[str, float]:
        """The figures of a verdict by metric."""
        return self._named((verdict.hr, verdict.ndcg, verdict.reward))

    def look(self, step: int, verdict: Verdict) -> dict[str, Any]:
        """A verdict as plain data."""
        return {
            "step": step,
            **self.named(verdict),
            "gain": verdict.gain,
            "ci": [verdict.low, verdict.high],
            "loss": verdict.loss,
            "guarded": verdict.guarded,
            "passed": verdict.passed,
        }

    def summary(self, looks: list[dict[str, Any]]) -> Mapping[str, Any]:
        """The gate with everything it saw, as plain data."""
        return {
            "metric": self.config.metric,
            "guard": GUARDS[self.config.metric],
            "max_loss": self.config.allowed_loss,
            "confidence": self.config.confidence,
            "rows": len(self.validation),
            "looks": looks,
        }

    def _named(self, figures: Any) -> dict[str, float]:
        return {name: float(figure) for name, figure in zip(self.names, figures, strict=False)}
