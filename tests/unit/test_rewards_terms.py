"""Worked examples of every reward, and how terms are combined."""

import math

import pytest
import torch

from genrec import variants
from genrec.config import RewardConfig
from genrec.errors import TrainingError
from genrec.rl.rewards import compose, exact_hit, prefix_credit, rank_penalty
from genrec.rl.rewards.context import RewardContext

SIDS = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1]])
CONTEXT = RewardContext(sids=SIDS, train_counts=torch.tensor([5, 4, 3, 2, 1]))


def test_exact_hit_pays_one_for_the_target_only():
    candidates = torch.tensor([[3, 0, 1], [2, 4, -1]])
    values = exact_hit.reward(candidates, torch.tensor([0, 1]), CONTEXT, exact_hit.Config())
    assert values.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_rank_penalty_follows_the_normalised_dcg_discount():
    values = rank_penalty.reward(torch.tensor([[3, 0, 1]]), torch.tensor([0]), CONTEXT, rank_penalty.Config())
    total = 1 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)  # 2.13093
    assert values[0].tolist() == pytest.approx([-1 / total, 0.0, -0.5 / total])
    assert values[0, 0].item() == pytest.approx(-0.469279, abs=1e-6)


def test_rank_penalty_is_zero_for_a_group_without_the_target():
    values = rank_penalty.reward(torch.tensor([[3, 2, 1]]), torch.tensor([0]), CONTEXT, rank_penalty.Config())
    assert values.tolist() == [[0, 0, 0]]


def test_prefix_credit_counts_leading_levels_only():
    candidates = torch.tensor(
        [[0, 1, 2, 3, -1]]
    )  # against item 0: all 3 levels, 2, 1, none (level 2 equal but after a miss)
    values = prefix_credit.reward(candidates, torch.tensor([0]), CONTEXT, prefix_credit.Config(share=0.3))
    assert values[0].tolist() == pytest.approx([0.3, 0.2, 0.1, 0.0, 0.0])


def test_terms_add_up_by_weight_and_missing_candidates_earn_nothing():
    terms = compose.build_terms(
        [
            RewardConfig(name="exact_hit", weight=2.0),
            RewardConfig(name="rank_penalty", weight=0.5),
            RewardConfig(name="prefix_credit", weight=1.0, options={"share": 0.3}),
        ]
    )
    candidates, target = torch.tensor([[1, 0, -1]]), torch.tensor([0])
    values = compose.total_reward(terms, candidates, target, CONTEXT)
    first_discount = 1 / (1 + 1 / math.log2(3) + 0.5)
    assert values[0].tolist() == pytest.approx([-0.5 * first_discount + 0.2, 2.3, 0.0])


@pytest.mark.parametrize("broken", ["nan", "shape", "type"])
def test_a_broken_reward_is_named(broken, monkeypatch):
    def reward(candidates, target, context, options):
        values = torch.zeros(candidates.shape)
        if broken == "nan":
            values[1, 2] = float("nan")
        return {"nan": values, "shape": values[:, :-1], "type": values.tolist()}[broken]

    monkeypatch.setattr(exact_hit, "reward", reward)
    terms = compose.build_terms([RewardConfig(name="exact_hit")])
    with pytest.raises(TrainingError, match="exact_hit") as raised:
        compose.total_reward(terms, torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, dtype=torch.long), CONTEXT)
    if broken == "nan":
        assert "candidate 2 of prompt 1" in str(raised.value)


def test_helper_modules_are_no_rewards():
    assert {"compose", "context"}.isdisjoint(variants.names(compose.PACKAGE))
    assert {"exact_hit", "rank_penalty", "prefix_credit"} <= set(variants.names(compose.PACKAGE))
