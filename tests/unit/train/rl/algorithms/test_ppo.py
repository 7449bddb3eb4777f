"""PPO: hand-computed advantages, clipping, and a bandit whose optimum is known."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from genrec.config import RlConfig
from genrec.train.rl.algorithms import ppo
from genrec.train.rl.groups import form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.objective import Tokens
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.rewarding import build_terms
from genrec.train.rl.rollout import RolloutWorker
from genrec.train.rl.value_head import ValueHead
from tests.support.rl_runs import CONTEXT, make_groups, make_prompts
from tests.support.rl_tiny import SIDS, tiny_policy, tiny_trie

RAW = ppo.Config(normalise=False)


def test_advantages_are_those_computed_by_hand():
    values = torch.tensor([[[0.5, 0.2, 0.4]]])
    judged = ppo.estimate(torch.tensor([[1.0]]), values, torch.ones(1, 1, dtype=torch.bool), RAW)
    last = 1.0 - 0.4
    middle = (0.4 - 0.2) + 0.95 * last
    first = (0.2 - 0.5) + 0.95 * middle
    assert judged.advantage.flatten().tolist() == pytest.approx([first, middle, last])
    assert judged.advantage.flatten().tolist() == pytest.approx([0.4315, 0.77, 0.6])
    assert judged.returns.flatten().tolist() == pytest.approx([0.9315, 0.97, 1.0])


def test_a_discount_reaches_back_from_the_last_token():
    values = torch.zeros(1, 1, 3)
    options = ppo.Config(gamma=0.5, gae_lambda=1.0, normalise=False)
    judged = ppo.estimate(torch.tensor([[8.0]]), values, torch.ones(1, 1, dtype=torch.bool), options)
    assert judged.advantage.flatten().tolist() == [2.0, 4.0, 8.0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_without_discounts_the_return_of_every_token_is_the_reward(seed):
    generator = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, 4, generator=generator), torch.randn(2, 4, 3, generator=generator)
    options = ppo.Config(gae_lambda=1.0, normalise=False)
    judged = ppo.estimate(rewards, values, torch.ones(2, 4, dtype=torch.bool), options)
    assert torch.allclose(judged.returns, rewards.unsqueeze(-1).expand(-1, -1, 3), atol=1e-5)
    assert torch.allclose(judged.advantage, rewards.unsqueeze(-1) - values, atol=1e-5)


def test_advantages_are_normalised_over_what_takes_part():
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(3, 4, generator=generator), torch.randn(3, 4, 3, generator=generator)
    valid = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
    rewards[2] = 1e6  # left out: must not count
    advantage = ppo.estimate(rewards, values, valid, ppo.Config()).advantage
    assert (advantage[~valid] == 0).all()
    assert advantage[valid].mean().item() == pytest.approx(0, abs=1e-5)
    assert advantage[valid].std(correction=0).item() == pytest.approx(1, abs=1e-5)


def loss_of(log_ratio: float = 0.0, advantage: float = 0.0, value: float = 0.0, old: float = 0.0, target: float = 0.0):
    """Loss of one token and its gradients by log-probability and by value."""
    shape = (1, 1, 1)
    zero = torch.zeros(shape)
    log_probs = torch.full(shape, log_ratio, requires_grad=True)
    values = torch.full(shape, value, requires_grad=True)
    tokens = Tokens(
        log_probs, zero, zero, torch.full(shape, advantage), torch.ones(1, 1, dtype=torch.bool),
        values, torch.full(shape, old), torch.full(shape, target),
    )  # fmt: skip
    terms = ppo.loss(tokens, ppo.Config())
    (terms.policy + terms.value).sum().backward()
    return terms, log_probs.grad.item(), values.grad.item()


def test_ratio_clipping_acts():
    assert loss_of(math.log(1.3), 1.0)[1] == 0
    assert loss_of(math.log(0.7), -1.0)[1] == 0
    assert loss_of(math.log(1.1), 1.0)[1] == pytest.approx(-1.1)
    assert loss_of(math.log(1.3), -1.0)[1] == pytest.approx(1.3)
    assert loss_of(math.log(1.3), 1.0)[0].clipped.item() == 1


def test_value_clipping_acts():
    terms, _, gradient = loss_of(value=0.1, old=0.0, target=1.0)
    assert terms.value.item() == pytest.approx(0.5 * 0.5 * 0.81)
    assert gradient == pytest.approx(0.5 * -0.9)
    terms, _, gradient = loss_of(value=0.5, old=0.0, target=1.0)  # moved 0.5 where 0.2 is allowed
    assert terms.value.item() == pytest.approx(0.5 * 0.5 * 0.64)
    assert gradient == 0
    assert loss_of(value=0.5, old=0.0, target=0.0)[2] == pytest.approx(0.25)  # the wrong way: it may come back


def make_learner(**settings) -> Learner:
    settings = {"algorithm": "ppo", "group_size": 8, "empty_groups": "keep", "target_anchor": 0.0, **settings}
    config = RlConfig(**settings)
    return Learner(tiny_policy(), config, build_terms(config.rewards), CONTEXT)


def test_the_value_head_learns_what_to_expect_of_a_prompt():
    learner, prompts = make_learner(learning_rate=2e-3, kl_coef=0.0, rewards=["exact_hit"]), make_prompts()
    wins = torch.arange(6) < 3
    target = torch.from_numpy(prompts.target)
    items = torch.where(wins[:, None], target[:, None], (target[:, None] + 1) % 24).expand(-1, 8)
    groups = form_groups(items, target, "keep")
    losses = [learner.update(step, prompts, groups)["value_loss"] for step in range(40)]
    assert losses[-1] < 0.3 * losses[0]
    values = learner._values(learner._batches(prompts, groups), groups)
    assert values[wins].mean() > values[~wins].mean() + 0.4


def test_the_value_loss_reaches_the_body_only_when_asked_to():
    for asked in (False, True):
        learner = make_learner(options={"value_trains_body": asked})
        torch.nn.init.ones_(learner.critic.out.weight)
        hidden = torch.randn(1, 1, 3, 16, requires_grad=True)
        learner._new_values(hidden).sum().backward()
        assert (hidden.grad is not None) == asked


def test_micro_batches_add_up_to_the_whole_batch():
    prompts, weights = make_prompts(), []
    for micro_batch_size in (6, 4, 1):
        learner = make_learner(micro_batch_size=micro_batch_size, options={"inner_steps": 2})
        learner.optimizer = torch.optim.SGD(learner.learned().values(), lr=0.1)
        learner.update(0, prompts, make_groups(learner, prompts))
        weights.append(torch.cat([p.detach().flatten() for p in learner.learned().values()]))
    assert (weights[0] - weights[1]).abs().max() < 1e-6
    assert (weights[0] - weights[2]).abs().max() < 1e-6


def test_values_start_at_zero_and_repeat():
    hidden = torch.randn(2, 3, 8)
    first, second = ValueHead(8), ValueHead(8)
    assert first(hidden).shape == (2, 3)
    assert (first(hidden) == 0).all()
    assert torch.equal(first.hidden.weight, second.hidden.weight)


def test_a_bandit_is_solved():
    """One state, 24 arms, one of which pays: sampled PPO must come to draw it nearly always."""
    learner = make_learner(
        learning_rate=0.01, kl_coef=0.0, rollout="sample", group_size=16, rewards=["exact_hit"], max_grad_norm=10.0
    )
    histories, target = [np.array([1, 2])] * 6, np.full(6, 17)
    prompts = PromptSet(np.arange(6), histories, target)
    worker = RolloutWorker(learner.policy, tiny_trie(), SIDS, learner.config, seed=0)
    rewards = []
    for step in range(40):
        items = torch.from_numpy(worker.generate(step, prompts).items)
        rewards.append((items == 17).float().mean().item())
        learner.update(step, prompts, form_groups(items, torch.from_numpy(target), "keep"))
    assert rewards[0] < 0.2
    assert np.mean(rewards[-5:]) > 0.9
    with torch.no_grad():
        batch = learner.policy.prompts(histories[:1], SIDS)
        every = learner.policy.candidate_log_probs(batch, CONTEXT.sids[None])[0].sum(-1)
    assert every.argmax() == 17
