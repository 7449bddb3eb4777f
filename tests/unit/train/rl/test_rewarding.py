"""How the terms of a reward are combined, checked and described."""

import math

import pytest
import torch

from genrec.config import RewardConfig
from genrec.errors import TrainingError
from genrec.train.rl import rewarding
from genrec.train.rl.reward_context import Sequences
from genrec.train.rl.rewards import (
    exact_hit,
)
from tests.support.reward_contexts import CONTEXT, SHOP


def test_rewards_say_what_the_data_keeps_them_from_doing():
    names = ("behaviour", "category_diversity", "new_item", "exact_hit", "later_items", "transitions")
    terms = rewarding.build_terms([RewardConfig(name=n) for n in names])
    short = Sequences(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2, 3]))
    blind = CONTEXT._replace(event_names=("review",), train_counts=torch.full((5,), 50), sequences=short)
    said = rewarding.notes(rewarding.prepare(terms, blind), blind)
    assert set(said) == {*names} - {"exact_hit"}
    assert "event types: review" in said["behaviour"]
    assert "no categories" in said["category_diversity"]
    rich = SHOP._replace(
        event_names=("click", "review"), sequences=Sequences(torch.tensor([0, 1, 2]), torch.tensor([0, 3]))
    )
    assert rewarding.notes(rewarding.prepare(terms, rich), rich) == {}


def test_means_by_term_add_up_and_repeated_terms_are_told_apart():
    terms = rewarding.build_terms(
        [RewardConfig(name="exact_hit"), RewardConfig(name="rank_log"), RewardConfig(name="rank_log", weight=2.0)]
    )
    means = rewarding.mean_rewards(terms, torch.tensor([[1, 0, -1]]), torch.tensor([0]), CONTEXT)
    assert set(means) == {"reward", "reward_exact_hit", "reward_rank_log", "reward_rank_log_2"}
    assert means["reward_exact_hit"] == 0.5
    assert means["reward_rank_log_2"] == pytest.approx(-0.15 * math.log(2))
    assert means["reward"] == pytest.approx(sum(v for k, v in means.items() if k != "reward"))
    assert set(rewarding.mean_rewards(terms[:1], torch.tensor([[1]]), torch.tensor([0]), CONTEXT)) == {"reward"}


def test_terms_add_up_by_weight_and_missing_candidates_earn_nothing():
    terms = rewarding.build_terms(
        [
            RewardConfig(name="exact_hit", weight=2.0),
            RewardConfig(name="rank_penalty", weight=0.5),
            RewardConfig(name="prefix_credit", weight=1.0, options={"share": 0.3}),
        ]
    )
    candidates, target = torch.tensor([[1, 0, -1]]), torch.tensor([0])
    values = rewarding.total_reward(terms, candidates, target, CONTEXT)
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
    terms = rewarding.build_terms([RewardConfig(name="exact_hit")])
    with pytest.raises(TrainingError, match="exact_hit") as raised:
        rewarding.total_reward(terms, torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, dtype=torch.long), CONTEXT)
    if broken == "nan":
        assert "candidate 2 of prompt 1" in str(raised.value)
