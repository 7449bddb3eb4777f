"""Distillation: divergences computed by hand, their minimum, and a student that comes to rank as its teacher does."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from genrec.errors import ConfigError
from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.model.transitions import Transitions
from genrec.train.rl.algorithms import distillation
from genrec.train.rl.objective import Tokens
from tests.support.rl_runs import RING, make_config, make_groups, make_learner, make_prompts, run
from tests.support.rl_tiny import NUM_CODES, NUM_ITEMS, SIDS, tiny_policy

DIVERGENCES = ("reverse_kl", "forward_kl", "ranknet")


def divergence(student, teacher, valid=None, **options) -> torch.Tensor:
    """Of lists float32[B, G], whose candidates have one token each."""
    valid = torch.ones_like(teacher, dtype=torch.bool) if valid is None else valid
    log_probs = student.unsqueeze(-1)
    tokens = Tokens(log_probs, log_probs, log_probs, torch.zeros_like(log_probs), valid, teacher=teacher)
    return distillation.loss(tokens, distillation.Config(**options)).policy


def lists(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities]).log()


def test_divergences_of_two_candidates_are_those_computed_by_hand():
    student, teacher = lists(0.2, 0.2), lists(0.1, 0.3)  # in the list: halves, and a quarter against three
    reverse = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    forward = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert divergence(student, teacher).item() == pytest.approx(reverse)
    assert divergence(student, teacher, divergence="forward_kl").item() == pytest.approx(forward)
    assert divergence(student, teacher, divergence="ranknet").item() == pytest.approx(math.log(2))
    halved = lists(0.25**0.5, 0.75**0.5).log_softmax(1)
    expected = (halved.exp() * (halved - math.log(0.5))).sum()
    warm = divergence(student, teacher, divergence="forward_kl", temperature=2.0)
    assert warm.item() == pytest.approx(expected.item(), rel=1e-5)


def test_ranknet_counts_the_pairs_that_the_teacher_puts_in_an_order():
    student, teacher = lists(0.1, 0.2, 0.4), lists(0.3, 0.3, 0.1)
    pairs = [math.log(1 + 0.4 / 0.1), math.log(1 + 0.4 / 0.2)]  # the first two are equal to the teacher
    assert divergence(student, teacher, divergence="ranknet").item() == pytest.approx(sum(pairs) / 2)
    assert divergence(student, lists(0.2, 0.2, 0.2), divergence="ranknet").item() == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(DIVERGENCES[:2]), st.floats(-5, 5))
def test_a_divergence_is_never_negative_zero_at_the_teacher_and_blind_to_a_shift(seed, name, shift):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(4, 6, generator=generator), torch.randn(4, 6, generator=generator)
    valid = torch.rand(4, 6, generator=generator) < 0.7
    apart = divergence(student, teacher, valid, divergence=name)
    assert (apart >= -1e-6).all()
    assert divergence(teacher + shift, teacher, valid, divergence=name).abs().max() < 1e-5
    torch.testing.assert_close(divergence(student, teacher + shift, valid, divergence=name), apart)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_teacher_with_nothing_to_say_moves_nothing(name):
    student = torch.randn(2, 4, requires_grad=True)
    teacher = torch.stack([torch.full((4,), -torch.inf), torch.randn(4)])
    value = divergence(student, teacher, divergence=name)
    assert value[0] == 0
    value.sum().backward()
    assert (student.grad[0] == 0).all()
    assert student.grad.isfinite().all()
    assert (student.grad[1] != 0).any()


def test_the_judgement_is_not_forgotten():
    with pytest.raises(ValueError, match="the teacher's log-probabilities"):
        divergence(torch.zeros(1, 2), None, valid=torch.ones(1, 2, dtype=torch.bool))


def policy_with_items(*, table: bool, dense_weight: float | None = 0.0) -> Policy:
    """Semantic ids alone make the score; a dense head and, if wanted, what followed what on the ring stand beside them."""
    policy = tiny_policy()
    torch.manual_seed(0)
    items = ItemVectors(SIDS, NUM_CODES, 16, None, ids=True)
    torch.nn.init.normal_(items.ids.weight, std=0.7)
    if table:
        flat, offsets = np.concatenate(RING), np.arange(len(RING) + 1) * len(RING[0])
        items.transitions = Transitions.count(flat, offsets, NUM_ITEMS, window=1, history_decay=0.1)
    policy.use_items(items, "sid_tokens", dense_weight=dense_weight)
    return policy


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_student_comes_to_rank_as_its_teacher_does(name):
    settings = {
        "algorithm": "distillation",
        "options": {"teacher": "dense", "divergence": name},
        "empty_groups": "keep",
        "kl_coef": 0.0,
    }
    learner, prompts = make_learner(policy_with_items(table=False), learning_rate=5e-3, **settings), make_prompts()
    groups = make_groups(learner, prompts)
    batch = learner.policy.prompts(prompts.histories, SIDS)

    def student() -> torch.Tensor:
        with torch.no_grad():
            return learner.policy.candidate_log_probs(batch, learner.context.sids[groups.items]).sum(-1)

    teacher = learner._judge(learner._batches(prompts, groups), groups)[0].teacher
    agreed = [in_order(student(), teacher)]
    losses = [learner.update(step, prompts, groups)["loss"] for step in range(60)]
    agreed.append(in_order(student(), teacher))
    assert losses[-1] < 0.5 * losses[0]
    assert agreed[1] > max(0.8, agreed[0])
    again = learner._judge(learner._batches(prompts, groups), groups)[0].teacher
    assert torch.equal(teacher, again)  # frozen, though the head it was read from has moved on


def in_order(student: torch.Tensor, teacher: torch.Tensor) -> float:
    """Share of the pairs that both put in the same order."""
    pairs = teacher[:, :, None] > teacher[:, None, :]
    return (student[:, :, None] > student[:, None, :])[pairs].float().mean().item()


def test_the_table_of_transitions_teaches_the_rule_of_the_shop(shop, tmp_path):
    policy_with_items(table=True).save(shop["sft"], kind="sft")
    options = {"teacher": "transitions", "divergence": "forward_kl"}
    settings = {"algorithm": "distillation", "options": options, "empty_groups": "keep", "group_size": 12}
    summary = run(shop, tmp_path, make_config(num_steps=30, eval_every=15, learning_rate=6e-3, **settings))
    assert summary["improved"]
    assert summary["valid"]["ndcg@10"] > summary["valid_sft"]["ndcg@10"] + 0.08


@pytest.mark.parametrize(
    ("teacher", "given", "message"),
    [
        ("dense", None, r"teacher is dense but the SFT model has no dense head; set sft\.dense_head\.loss_weight"),
        ("mix", {"table": True, "dense_weight": None}, "teacher is mix but the SFT model has no dense head"),
        ("mix", {"table": False}, r"teacher is mix but the SFT model holds no table of transitions"),
        ("transitions", {"table": False}, "teacher is transitions but the SFT model holds no table"),
        ("transitions", None, "holds no table of transitions"),
    ],
)
def test_a_teacher_that_the_model_does_not_carry_is_refused(shop, tmp_path, teacher, given, message):
    if given is not None:
        policy_with_items(**given).save(shop["sft"], kind="sft")
    with pytest.raises(ConfigError, match=message):
        run(shop, tmp_path, make_config(algorithm="distillation", options={"teacher": teacher}))
