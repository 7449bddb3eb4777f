"""The gate: what passes, which checkpoint leads, and what validation lists are worth."""

import numpy as np
import pytest
import torch

from genrec.config import GateConfig
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.gate import Gate, Verdict
from genrec.train.rl.state import RlState


class Users:
    """As many validation rows, each of its own user."""

    def __init__(self, num_rows: int) -> None:
        self.users = np.arange(num_rows)

    def __len__(self) -> int:
        return len(self.users)


def make_gate(num_rows: int = 400, **settings) -> Gate:
    return Gate(GateConfig(**settings), Users(num_rows), None, LearnerGroup(), drop_seen=True)


def rows(hr: float, ndcg: float, reward: float | None = None, num_rows: int = 400) -> np.ndarray:
    """Rows of which the first have the figures 1 and the others 0, so that the means are these."""
    means = [hr, ndcg] if reward is None else [hr, ndcg, reward]
    return (np.arange(num_rows)[:, None] < np.round(np.array(means) * num_rows)).astype(float)


@pytest.mark.parametrize("metric", ["ndcg@10", "hr@10", "reward"])
def test_a_gain_passes_only_where_its_interval_lies_above_zero(metric):
    gate, reward = make_gate(metric=metric), (0.5 if metric == "reward" else None)
    before = rows(0.5, 0.5, reward)
    for gained_rows, passed in ((0, False), (2, False), (20, True)):
        share = gained_rows / 400
        after = rows(0.5 + share, 0.5 + share, None if reward is None else reward + share)
        verdict = gate.judge(before, after)
        assert verdict.gain == pytest.approx(share)
        assert verdict.low <= verdict.gain <= verdict.high
        assert (verdict.passed, verdict.guarded) == (passed, True)


def test_the_interval_is_that_of_paired_differences():
    """The same 20 rows better: an interval of two means, not paired, would hold 0."""
    gate = make_gate()
    verdict = gate.judge(rows(0.5, 0.50), rows(0.5, 0.55))
    share = 20 / 400
    half = 1.96 * np.sqrt(share * (1 - share) / 400)
    assert verdict.low == pytest.approx(share - half, abs=0.004)
    assert verdict.high == pytest.approx(share + half, abs=0.004)


def test_rows_of_one_user_are_drawn_together():
    gate = make_gate()
    gate.validation.users = np.arange(400) // 20
    before, after = rows(0.5, 0.50), rows(0.5, 0.55)  # all the gain is one user's
    assert not gate.judge(before, after).passed


@pytest.mark.parametrize(("metric", "guard"), [("ndcg@10", "hr@10"), ("hr@10", "ndcg@10"), ("reward", "ndcg@10")])
def test_a_gain_that_costs_more_than_is_allowed_does_not_pass(metric, guard):
    names = ("hr@10", "ndcg@10", "reward")
    shape = {**dict.fromkeys(names, 0.5), metric: 0.6}
    before = [0.5, 0.5, 0.5][: 3 if metric == "reward" else 2]
    for loss, allowed, passed in ((0.02, 0.0, False), (0.02, 0.05, True), (0.1, 0.05, False)):
        after = [(shape | {guard: 0.5 * (1 - loss)})[name] for name in names][: len(before)]
        verdict = make_gate(metric=metric, max_loss=allowed).judge(rows(*before), rows(*after))
        assert verdict.loss == pytest.approx(loss, abs=0.006)  # in whole rows
        assert verdict.passed == verdict.guarded == passed


def test_the_loss_that_is_allowed_depends_on_the_metric_unless_it_is_given():
    assert [GateConfig(metric=m).allowed_loss for m in ("ndcg@10", "hr@10", "reward")] == [0.0, 0.0, 0.02]
    assert GateConfig(metric="reward", max_loss=0.0).allowed_loss == 0.0


def verdict(ndcg: float, *, guarded: bool = True, passed: bool = False) -> Verdict:
    return Verdict(0.5, ndcg, 0.0, ndcg - 0.2, 0.01 if passed else -0.01, 0.1, 0.0 if guarded else 0.1, guarded, passed)


def started() -> tuple[Gate, RlState, dict[str, torch.nn.Parameter]]:
    gate, state = make_gate(), RlState()
    state.start(gate, rows(0.5, 0.2), {"hr@10": 0.5, "ndcg@10": 0.2})
    return gate, state, {"w": torch.nn.Parameter(torch.zeros(1))}


def walk(*verdicts: Verdict, patience: int = 99) -> tuple[RlState, dict[str, torch.nn.Parameter]]:
    gate, state, parameters = started()
    for step, judged in enumerate(verdicts, 1):
        state.step = step
        with torch.no_grad():
            parameters["w"].fill_(float(step))
        state.judged(step / 10, gate, judged, parameters, patience)
    return state, parameters


def test_the_highest_of_those_that_pass_is_returned():
    state, parameters = walk(
        verdict(0.26),  # chance can explain it
        verdict(0.24, passed=True),
        verdict(0.30, guarded=False),
        verdict(0.25, passed=True),
        verdict(0.29),
        verdict(0.23, passed=True),
    )
    assert (state.best_step, state.leading_step, state.best) == (4, 4, {"hr@10": 0.5, "ndcg@10": 0.25})
    assert [look["passed"] for look in state.looks] == [False, True, False, True, False, True]
    state.restore_best(parameters, otherwise={"w": torch.full((1,), -1.0)})
    assert parameters["w"].item() == 4


def test_a_leading_checkpoint_that_did_not_pass_is_known_but_not_returned():
    state, parameters = walk(verdict(0.21), verdict(0.25, guarded=False), verdict(0.23), verdict(0.22))
    assert (state.best_step, state.leading_step) == (0, 3)
    assert state.best_weights["w"].item() == 3
    assert state.best == state.sft == {"hr@10": 0.5, "ndcg@10": 0.2}
    state.restore_best(parameters, otherwise={"w": torch.full((1,), -1.0)})
    assert parameters["w"].item() == -1


def test_patience_counts_checkpoints_that_do_not_lead():
    assert walk(verdict(0.21), verdict(0.22), verdict(0.23), patience=2)[0].stop_reason is None
    assert walk(verdict(0.21), verdict(0.20), verdict(0.21), patience=2)[0].stop_reason == "patience"
    assert walk(verdict(0.3, guarded=False), verdict(0.4, guarded=False), patience=2)[0].stop_reason == "patience"
