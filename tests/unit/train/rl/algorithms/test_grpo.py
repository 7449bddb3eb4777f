"""The arithmetic of GRPO on tensors: advantages, clipping, KL, groups, prompts."""

import math

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings

from genrec.errors import DataError
from genrec.tables import SEQUENCES, write_table
from genrec.train.rl.algorithms import grpo
from genrec.train.rl.groups import form_groups
from genrec.train.rl.objective import Tokens
from genrec.train.rl.prompts import PromptSource

OPTIONS = grpo.Config()


def all_valid(rewards: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(rewards, dtype=torch.bool)


def grpo_loss(log_probs, old, reference, advantage, valid, options=OPTIONS):
    return grpo.loss(Tokens(log_probs, old, reference, advantage.unsqueeze(-1), valid), options)


def test_advantages_of_one_hit_in_four():
    rewards = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    values = grpo.advantages(rewards, all_valid(rewards), OPTIONS)
    # mean 1/4, std sqrt((3/16 + 9/16) / 3) = 1/2
    assert values[0].tolist() == pytest.approx(
        [-0.25 / 0.5001, 0.75 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001], abs=1e-6
    )


def test_advantages_without_scaling_are_centred_rewards():
    rewards = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    values = grpo.advantages(rewards, all_valid(rewards), grpo.Config(scale_by_std=False))
    assert values[0].tolist() == [-0.25, 0.75, -0.25, -0.25]


def test_equal_rewards_teach_nothing():
    rewards = torch.full((2, 5), 0.7)
    assert grpo.advantages(rewards, all_valid(rewards), OPTIONS).abs().max() < 1e-3


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-5, 5))
def test_advantages_have_mean_zero_and_ignore_scale_and_shift(seed, scale, shift):
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.randn(3, 8, generator=generator)
    valid = torch.rand(3, 8, generator=generator) < 0.8
    valid[:, :2] = True
    values = grpo.advantages(rewards, valid, OPTIONS)
    assert values[~valid].abs().sum() == 0
    assert values.sum(dim=1).abs().max() < 1e-3
    other = grpo.advantages(rewards * scale + shift, valid, OPTIONS)
    assert torch.allclose(values, other, rtol=2e-2, atol=2e-2)


def test_a_missing_candidate_changes_nothing():
    rewards = torch.tensor([[0.0, 1.0, 0.0]])
    padded, valid = torch.tensor([[0.0, 1.0, 0.0, 9.0]]), torch.tensor([[True, True, True, False]])
    short = grpo.advantages(rewards, all_valid(rewards), OPTIONS)
    long = grpo.advantages(padded, valid, OPTIONS)
    assert torch.allclose(short[0], long[0, :3])
    log_probs = torch.randn(1, 4, 3)
    log_probs[0, 3] = torch.nan
    whole = grpo_loss(log_probs, log_probs, log_probs - 0.1, long, valid)
    cut = grpo_loss(log_probs[:, :3], log_probs[:, :3], log_probs[:, :3] - 0.1, short, valid[:, :3])
    assert whole.policy.item() == pytest.approx(cut.policy.item())
    assert whole.kl.item() == pytest.approx(cut.kl.item())


def test_kl_is_k3():
    policy, reference = torch.full((1, 1, 2), math.log(0.5)), torch.full((1, 1, 2), math.log(0.25))
    values = grpo_loss(policy, policy, reference, torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))
    assert values.kl.item() == pytest.approx(0.5 - math.log(0.5) - 1)  # exp(d) - d - 1, d = log(1/2)


def gradient(log_ratio: float, advantage: float) -> float:
    """d loss / d log_prob of one token."""
    old = torch.zeros(1, 1, 1)
    log_probs = torch.full((1, 1, 1), log_ratio, requires_grad=True)
    valid = torch.ones(1, 1, dtype=torch.bool)
    grpo_loss(log_probs, old, old, torch.full((1, 1), advantage), valid).policy.sum().backward()
    return log_probs.grad.item()


def test_on_policy_the_gradient_is_minus_the_advantage():
    assert gradient(0.0, 1.5) == pytest.approx(-1.5)
    assert gradient(0.0, -1.5) == pytest.approx(1.5)


def test_clipping_stops_a_ratio_that_went_far_enough():
    assert gradient(math.log(1.3), 1.0) == 0  # already 1.2 times as likely
    assert gradient(math.log(0.7), -1.0) == 0
    assert gradient(math.log(0.7), 1.0) == pytest.approx(-0.7)  # went the wrong way: it may come back
    assert gradient(math.log(1.3), -1.0) == pytest.approx(1.3)
    assert gradient(math.log(1.1), 1.0) == pytest.approx(-1.1)


def test_clipped_share_counts_the_tokens_cut_off():
    old = torch.zeros(1, 2, 2)
    log_probs = torch.tensor([[[math.log(1.3), 0.0], [math.log(1.3), math.log(0.5)]]])
    values = grpo_loss(log_probs, old, old, torch.tensor([[1.0, -1.0]]), torch.ones(1, 2, dtype=torch.bool))
    assert values.clipped.item() == pytest.approx(2 / 4)  # the first of each kind


def test_repair_puts_the_target_last_in_groups_without_a_hit():
    items, target = torch.tensor([[1, 2, 3], [1, 2, 3], [4, 5, -1]]), torch.tensor([2, 7, 6])
    groups = form_groups(items, target, "repair")
    assert groups.items.tolist() == [[1, 2, 3], [1, 2, 7], [4, 5, 6]]
    assert groups.hit.tolist() == [True, False, False]
    assert groups.kept.all()
    assert items[1, 2] == 3  # the rollout itself is left alone


def test_skip_leaves_groups_without_a_hit_out():
    groups = form_groups(torch.tensor([[1, 2], [1, 2]]), torch.tensor([2, 7]), "skip")
    assert groups.items.tolist() == [[1, 2], [1, 2]]
    assert groups.kept.tolist() == [True, False]


def test_keep_leaves_groups_without_a_hit_as_they_are():
    groups = form_groups(torch.tensor([[1, 2], [1, 2]]), torch.tensor([2, 7]), "keep")
    assert groups.items.tolist() == [[1, 2], [1, 2]]
    assert groups.kept.all()
    assert groups.hit.tolist() == [True, False]


def write_sequences(path, sequences):
    columns = {
        "user": list(range(len(sequences))),
        "user_id": [f"u{i}" for i in range(len(sequences))],
        "items": sequences,
        "events": [["purchase" if item % 2 else "click" for item in s] for s in sequences],
        "timestamps": [list(range(len(s))) for s in sequences],
    }
    write_table(pa.table(columns, schema=SEQUENCES), path, SEQUENCES)
    return path


def test_prompts_are_cut_from_training_sequences(tmp_path):
    sequences = [[10, 11, 12, 13], [20], [30, 31], [40, 41, 42]]
    source = PromptSource(write_sequences(tmp_path / "train.parquet", sequences), seed=3)
    assert source.num_users == 3
    seen = set()
    for step in range(60):
        prompts = source.draw(step, 2)
        for history, target in zip(prompts.histories, prompts.target, strict=True):
            sequence = next(s for s in sequences if s[0] == history[0])
            assert [*history, target] == sequence[: len(history) + 1]
            seen.add(int(target))
    assert seen == {11, 12, 13, 31, 41, 42}  # every training item that has a history


def test_what_follows_a_prompt_travels_with_it(tmp_path):
    sequences = [[10, 11, 12, 13], [30, 31], [40, 41, 42]]
    path = write_sequences(tmp_path / "train.parquet", sequences)
    source = PromptSource(path, seed=3, num_following=2)
    for step in range(20):
        prompts = source.draw(step, 3).part(0, 2)
        for history, following, events in zip(prompts.histories, *prompts[-2:], strict=True):
            sequence = next(s for s in sequences if s[0] == history[0])
            assert following.tolist() == [*sequence, -1, -1][len(history) : len(history) + 2]
            of_items = [source.event_names.index("purchase" if i % 2 else "click") if i >= 0 else -1 for i in following]
            assert events.tolist() == of_items
    assert PromptSource(path, seed=3).draw(0, 3)[-2:] == (None, None)


def test_prompts_visit_every_user_once_an_epoch_and_repeat_exactly(tmp_path):
    path = write_sequences(tmp_path / "train.parquet", [[u * 10 + i for i in range(5)] for u in range(7)])
    source, again = PromptSource(path, seed=1), PromptSource(path, seed=1)
    users = [int(h[0]) for step in range(4) for h in source.draw(step, 7).histories]
    assert all(sorted(users[e * 7 : e * 7 + 7]) == [0, 10, 20, 30, 40, 50, 60] for e in range(4))
    assert users[:7] != users[7:14]
    split = [int(t) for step in range(7) for t in source.draw(step, 1).target]
    assert split == again.draw(0, 7).target.tolist()  # the stream does not depend on the batch size
    assert PromptSource(path, seed=2).draw(0, 7).target.tolist() != split


def test_banned_items_are_the_history_but_never_the_target(tmp_path):
    path = write_sequences(tmp_path / "train.parquet", [[1, 2, 1]])
    source = PromptSource(path, seed=0)
    draws = {tuple(p.histories[0].tolist()): p.banned()[0].tolist() for p in (source.draw(s, 1) for s in range(20))}
    assert draws == {(1,): [1], (1, 2): [2]}


def test_sequences_too_short_for_a_prompt_are_an_error(tmp_path):
    with pytest.raises(DataError, match="two training items"):
        PromptSource(write_sequences(tmp_path / "train.parquet", [[1], [2]]), seed=0)


def test_prompt_parts_keep_their_position(tmp_path):
    path = write_sequences(tmp_path / "train.parquet", [[u, u + 50] for u in range(9)])
    prompts = PromptSource(path, seed=0).draw(2, 6)
    part = prompts.part(2, 5)
    assert part.position.tolist() == [2, 3, 4]
    assert np.array_equal(part.target, prompts.target[2:5])
