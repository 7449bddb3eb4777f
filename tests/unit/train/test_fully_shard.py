"""Optimizer states, gradients and weights divided over two processes: the numbers of one process, half the memory."""

import functools

import numpy as np
import pytest
import torch

from genrec.config import SftConfig
from genrec.errors import ConfigError
from genrec.model.policy import Policy
from genrec.train.fully_shard import divide
from genrec.train.learner_group import LearnerGroup
from genrec.train.sft.train import add_items
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import make_windows
from genrec.train.sharding import Sharding
from tests.support.lm_tiny import attach, random_sids
from tests.support.lm_tiny import tiny_policy as other_policy
from tests.support.processes import in_processes
from tests.support.rl_runs import PPO, make_groups, make_learner, make_prompts
from tests.support.rl_tiny import MAX_HISTORY, NUM_ITEMS, SIDS, VOCAB, tiny_policy
from tests.support.sft_runs import CONFIG, CYCLES, distance

STAGES = ["optimizer", "gradients", "weights"]
ITEMS = {
    "view": {"name": "item_tokens"},
    "output": {"name": "prefixes"},
    "dense_head": {"loss_weight": 1.0},
    "item_vectors": {"ids": True, "text": True},
}
ROWS = [np.array(rows) for rows in ([0, 5, 9, 14, 20], [1, 2, 30], [7])]  # the last leaves a process nothing to do


def make_policy(kind: str) -> Policy:
    """Random weights; with an adapter of the kind (`lora`, `ptuning_v2 projected`) or without (`full`, `items`); `half`:
    frozen ones in bfloat16.
    """
    mode = kind.removesuffix(" half")
    policy = tiny_policy() if mode in ("full", "items") else other_policy(mode=mode, vocab=VOCAB)
    for parameter in policy.model.parameters():
        if kind.endswith(" half") and not parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    return policy


def make_trainer(kind: str, stage: str = "none", **settings) -> Trainer:
    """A trainer of such a policy; `items`: also of item vectors."""
    settings = {"dropout": 0.0, "micro_batch_size": 2, **(ITEMS if kind == "items" else {}), **settings}
    config = SftConfig.model_validate({**CONFIG.model_dump(), **settings})
    policy = make_policy(kind)
    text = np.random.default_rng(0).standard_normal((NUM_ITEMS, 5)).astype(np.float32)
    add_items(policy, SIDS, text if kind == "items" else None, config)
    items = np.concatenate(CYCLES)
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in CYCLES])])
    return Trainer(
        policy, make_windows(items, offsets, MAX_HISTORY), SIDS, config.model_copy(update={"sharding": stage}), seed=0
    )


def whole(sharding: Sharding, gradients: bool = False) -> dict[str, torch.Tensor]:
    """Weights or gradients by name, whole."""
    found = {name: p.grad if gradients else p.detach() for name, p in (sharding.parameters | sharding.heads).items()}
    return {name: sharding.whole(name, t).clone() for name, t in found.items() if t is not None}


def sft_numbers(kind: str, stage: str = "none") -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The gradients of a batch, and the weights after a few steps."""
    trainer = make_trainer(kind, stage)
    trainer.accumulate(ROWS[0])
    trainer.sharding.sum_gradients()
    gradients = whole(trainer.sharding, gradients=True)
    trainer.optimizer.zero_grad()
    for rows in ROWS:
        trainer.step(rows, 0.01)
    return gradients, whole(trainer.sharding)


def rl_numbers(stage: str = "none", kind: str = "full", **settings) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The weights after a few updates, and the figures of the last."""
    policy = make_policy(kind)
    learner = make_learner(policy, learning_rate=1e-2, micro_batch_size=2, **settings)
    learner = type(learner)(
        policy, learner.config.model_copy(update={"sharding": stage}), learner.terms, learner.context, LearnerGroup()
    )
    for step, count in enumerate((6, 5, 1)):
        prompts = make_prompts(count, seed=step)
        with learner.sharding.gathered():
            groups = make_groups(learner, prompts)
        figures = learner.update(step, prompts, groups)
    return whole(learner.sharding), figures


SFT_CASES = [
    ("items", "weights"),
    *(pytest.param("items", stage, marks=pytest.mark.slow) for stage in STAGES[:2]),
    *(pytest.param("lora", stage, marks=pytest.mark.slow) for stage in STAGES),
    pytest.param("ptuning_v2 projected", "weights", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "stage"), SFT_CASES)
def test_fine_tuning_has_the_gradients_and_weights_of_one_process(tmp_path, kind, stage):
    expected = sft_numbers(kind)

    def check():
        gradients, weights = sft_numbers(kind, stage)
        assert distance(gradients, expected[0]) < 1e-6 * max(1.0, max(g.abs().max() for g in expected[0].values()))
        assert distance(weights, expected[1]) < 1e-5

    assert in_processes(tmp_path / "meeting", check) == [0, 0]
    start = {name: p.detach() for name, p in make_trainer(kind).parameters.items()}
    assert distance(expected[1], start) > 1e-3


KL = {"kl_coef": 0.1}
RL_CASES = [
    pytest.param("full", "weights", KL, id="full-weights"),
    *(pytest.param("full", stage, KL, id=f"full-{stage}", marks=pytest.mark.slow) for stage in STAGES[:2]),
    *(pytest.param("lora", stage, KL, id=f"lora-{stage}", marks=pytest.mark.slow) for stage in STAGES),
    *(pytest.param("full", stage, PPO, id=f"ppo-{stage}", marks=pytest.mark.slow) for stage in STAGES[::2]),
]


@pytest.mark.parametrize(("kind", "stage", "settings"), RL_CASES)
def test_updates_of_the_policy_have_the_weights_and_figures_of_one_process(tmp_path, kind, stage, settings):
    expected = rl_numbers(kind=kind, **settings)

    def check():
        weights, figures = rl_numbers(stage, kind, **settings)
        assert distance(weights, expected[0]) < 1e-4
        assert figures == pytest.approx(expected[1], abs=1e-4)

    assert in_processes(tmp_path / "meeting", check) == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_process_holds_half_of_what_is_divided(tmp_path, stage):
    def held(tensors) -> int:
        return sum(t.numel() * t.element_size() for t in tensors)

    alone = make_trainer("lora")
    alone.step(ROWS[0], 0.01)
    parts = {
        "states": held(t for slots in alone.optimizer.state.values() for t in slots.values() if t.ndim),
        "gradients": held(alone.parameters.values()),
        "weights": held(alone.policy.model.parameters()),
    }

    def check():
        trainer = make_trainer("lora", stage)
        trainer.accumulate(ROWS[0])
        modules = list(trainer.policy.model.parameters())
        gradients = [p.grad for p in modules if p.grad is not None]
        trainer.sharding.sum_gradients()
        trainer.optimizer.step()
        trainer.sharding.refresh()
        states = held(t for slots in trainer.optimizer.state.values() for t in slots.values() if t.ndim)
        assert abs(states / parts["states"] - 0.5) < 0.02
        own = held(p.grad for p in trainer.parameters.values())
        assert abs(own / parts["gradients"] - 0.5) < 0.02
        assert all(hasattr(gradient, "to_local") for gradient in gradients)  # no whole one is left
        weights = held(p.to_local() if hasattr(p, "to_local") else p for p in trainer.policy.model.parameters())
        frozen = held(p for p in alone.policy.model.parameters() if not p.requires_grad)
        if stage == "weights":
            assert abs(weights / parts["weights"] - 0.5) < 0.02
        else:  # frozen weights are whole, and of the others the rows, between two steps
            assert abs(weights - frozen - 0.5 * (parts["weights"] - frozen)) < 0.02 * parts["weights"]

    assert in_processes(tmp_path / "meeting", check) == [0, 0]


def test_a_gathered_policy_is_the_one_of_one_process_and_goes_when_it_is_not_needed(tmp_path):
    alone = make_trainer("items")
    prompts = alone.policy.prompts([np.array([1, 2]), np.array([3])], SIDS)
    expected = alone.policy.candidate_log_probs(prompts, torch.from_numpy(SIDS[:4]).long()[None].expand(2, -1, -1))

    def check():
        trainer = make_trainer("items", "weights")
        assert trainer.sharding.moves_weights  # recorded searches would read where weights no longer are
        divided = list(trainer.policy.model.parameters())
        with trainer.sharding.gathered():
            assert type(trainer.policy.model) is type(
                alone.policy.model
            )  # stock modules: what is fast for them is used
            found = trainer.policy.candidate_log_probs(
                prompts, torch.from_numpy(SIDS[:4]).long()[None].expand(2, -1, -1)
            )
            assert torch.equal(found, expected)
            twin = list(trainer.policy.model.parameters())
            if trainer.group.first:  # nobody has to take part in what one process does
                trainer.policy.candidate_log_probs(prompts, torch.from_numpy(SIDS[:4]).long()[None].expand(2, -1, -1))
        assert all(p.numel() == 0 for p in twin)
        assert all(a is b for a, b in zip(divided, trainer.policy.model.parameters(), strict=True))
        with trainer.sharding.holding({name: p.detach() * 0 for name, p in trainer.parameters.items()}):
            assert all(float(p.abs().sum()) == 0 for p in trainer.parameters.values())
        trainer.sharding.gather()
        assert torch.equal(
            trainer.policy.candidate_log_probs(prompts, torch.from_numpy(SIDS[:4]).long()[None].expand(2, -1, -1)),
            expected,
        )

    assert in_processes(tmp_path / "meeting", check) == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "precision", "bound"), [("lora", "fp32", 1e-5), ("lora half", "bf16", 1e-2)])
def test_weights_are_gathered_again_for_what_a_backward_computes_twice(tmp_path, monkeypatch, kind, precision, bound):
    monkeypatch.setattr("genrec.model.precision.computes_bf16", lambda device: True)
    make = functools.partial(make_trainer, kind, precision=precision, gradient_checkpointing=True)
    alone = make()
    for rows in ROWS:
        alone.step(rows, 0.01)

    def check():
        trainer = make(stage="weights")
        for rows in ROWS:
            trainer.step(rows, 0.01)
        assert distance(whole(trainer.sharding), whole(alone.sharding)) < bound

    assert in_processes(tmp_path / "meeting", check) == [0, 0]


@pytest.mark.slow
def test_packed_weights_train_beside_divided_states_and_are_not_divided_themselves(tmp_path):
    base = tmp_path / "base"
    other_policy().save(base)

    def make(stage: str = "none") -> tuple[Policy, Sharding]:
        policy = attach(base, "qlora")
        return policy, divide(policy, LearnerGroup(), stage)

    def gradients(policy: Policy, sharding: Sharding) -> dict[str, torch.Tensor]:
        codes = torch.from_numpy(random_sids(6, seed=0)).long().view(2, 3, 3)
        hidden = sharding.forward(functools.partial(policy.sequence_hidden, codes))
        sharding.backward(hidden.square().sum() / 2)
        sharding.sum_gradients()
        return whole(sharding, gradients=True)

    policy, sharding = make()
    expected = gradients(policy, sharding)

    def check():
        assert distance(gradients(*make("gradients")), {name: 2 * g for name, g in expected.items()}) < 1e-4
        with pytest.raises(ConfigError, match="set it to gradients"):
            make("weights")

    assert in_processes(tmp_path / "meeting", check) == [0, 0]
