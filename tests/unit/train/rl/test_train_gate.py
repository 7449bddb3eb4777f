"""The whole stage with a gate on the reward."""

import numpy as np
import pytest
import torch

from genrec.train.rl.learner import Learner
from tests.support.rl_runs import REWARD_GATE, VALID, log_values, make_config, run


def test_a_gate_on_the_reward_returns_the_checkpoint_that_earns_most(shop, tmp_path):
    """Early places cost, so the reward of a list is that of its hits: all other terms are the same for every list."""
    settings = {"gate": REWARD_GATE, "rewards": ["exact_hit", "rank_log", "later_items"], "patience": 10}
    summary = run(shop, tmp_path, make_config(num_steps=40, eval_every=10, **settings))
    looks = summary["gate"]["looks"]
    assert [look["step"] for look in looks] == [10, 20, 30, 40]
    passed = {look["step"]: look["reward"] for look in looks if look["passed"]}
    assert summary["best_step"] == max(passed, key=passed.get)
    assert log_values(tmp_path, "valid_reward") == {0: summary["valid_sft"]["reward"]} | {
        look["step"]: look["reward"] for look in looks
    }
    assert summary["valid"]["reward"] == passed[summary["best_step"]] > summary["valid_sft"]["reward"]
    for look in looks:  # one hit a list at most, in lists of ten
        costs = -0.15 * np.log(np.arange(1, 11)).mean()
        assert look["reward"] == pytest.approx(look["hr@10"] / 10 + costs)
    compared = summary["before_after"]
    assert (compared["step"], compared["returned"], compared["rows"]) == (summary["best_step"], True, len(VALID))
    assert compared["after"]["reward"] == pytest.approx(passed[summary["best_step"]])  # the lists hold every item
    for when, step in (("before", 0), ("after", summary["best_step"])):
        for name in ("hr@1", "ndcg@50", "tail_share@10", "reward_exact_hit"):
            assert log_values(tmp_path, f"{when}_{name}") == {step: compared[when][name]}
    assert set(summary["reward_notes"]) == {"later_items", "rank_log"}
    assert summary["outcome"].startswith(f"Step {summary['best_step']} is returned: the reward")


def test_lists_that_may_hold_seen_items_are_rewarded_as_they_are_generated(shop, tmp_path):
    """A repeat costs in the lists that reinforcement learning makes, though hits are measured without seen items."""
    keep = {"rollout": {"seen_items": "keep", "chunk_size": 8}, "rewards": ["behaviour"], "num_steps": 0}
    summary = run(shop, tmp_path / "keep", make_config(gate=REWARD_GATE, **keep))
    drop = run(shop, tmp_path / "drop", make_config(gate=REWARD_GATE, rewards=["behaviour"], num_steps=0))
    assert summary["valid_sft"]["hr@10"] == drop["valid_sft"]["hr@10"]
    assert drop["valid_sft"]["reward"] == pytest.approx(drop["valid_sft"]["hr@10"] / 10)
    assert summary["before_after"]["before"]["reward"] < drop["before_after"]["before"]["reward"]


def test_a_step_too_far_is_taken_back_and_the_next_ones_are_smaller(shop, tmp_path, monkeypatch):
    """The second and third checkpoints lose half of NDCG@10: training goes on from the first, a quarter as fast each time."""
    ndcg, seen, rates = iter([0.2, 0.3, 0.1, 0.1, 0.3]), [], []

    def rows(self, policy):
        seen.append({name: p.detach().clone() for name, p in policy.trainable_parameters().items()})
        return np.column_stack([np.full(len(self.validation), value) for value in [next(ndcg)] * 2])

    def update(self, *arguments):
        rates.append(
            (self.optimizer.param_groups[0]["lr"], {n: p.detach().clone() for n, p in self.parameters.items()})
        )
        return Learner.update(self, *arguments)

    monkeypatch.setattr("genrec.train.rl.gate.Gate.rows", rows)
    monkeypatch.setattr("genrec.train.rl.train.Learner", type("Watched", (Learner,), {"update": update}))
    gate = {"confidence": 0.5, "take_back": True}
    summary = run(shop, tmp_path, make_config(num_steps=8, eval_every=2, learning_rate=1e-3, gate=gate))
    assert [rate for rate, _ in rates] == [1e-3] * 4 + [2.5e-4] * 2 + [6.25e-5] * 2
    first = seen[1]
    for step in (2, 4, 6):  # the weights that these steps start from
        assert all(torch.equal(first[name], weights) for name, weights in rates[step][1].items())
    assert [look.get("taken_back", False) for look in summary["gate"]["looks"]] == [False, True, True, False]
    assert summary["best_step"] == 2
    assert "went back 2 times" in summary["outcome"]


def test_without_it_training_goes_on_from_where_it_is(shop, tmp_path, monkeypatch):
    ndcg = iter([0.2, 0.3, 0.1])
    monkeypatch.setattr(
        "genrec.train.rl.gate.Gate.rows", lambda self, policy: np.full((len(self.validation), 2), next(ndcg))
    )
    summary = run(shop, tmp_path, make_config(num_steps=4, eval_every=2))
    assert not any("taken_back" in look for look in summary["gate"]["looks"])
    assert "went back" not in summary["outcome"]
