"""Teachers judge whole items by what the SFT model carries."""

import numpy as np
import pytest
import torch

from genrec.model.item_vectors import ItemVectors
from genrec.model.transitions import Transitions
from genrec.train.rl.algorithms import distillation
from genrec.train.rl.teacher import Teacher
from tests.support.rl_tiny import NUM_CODES, NUM_ITEMS, SIDS, tiny_policy

# 0 is followed by 1 twice and by 2 once; 5 by nothing.
ITEMS, OFFSETS = np.array([0, 1, 0, 1, 0, 2, 9, 5]), np.array([0, 2, 4, 6, 8])


@pytest.fixture
def policy():
    policy = tiny_policy()
    torch.manual_seed(1)
    items = ItemVectors(SIDS, NUM_CODES, 16, None, ids=True)
    items.transitions = Transitions.count(ITEMS, OFFSETS, NUM_ITEMS, window=2, history_decay=0.5)
    policy.use_items(items, "sid_tokens", dense_weight=0.0)
    return policy


def judge(policy, name, items, histories=([0], [5]), following=None, share=0.3):
    teacher = Teacher(policy, distillation.Config(teacher=name, transition_share=share))
    prompts = policy.prompts(histories, SIDS, following)
    hidden = torch.randn(len(histories), 16, generator=torch.Generator().manual_seed(0))
    own = torch.tensor(items).clamp_min(0).add(1).float().mul(0.01).log()  # item i is scored (i + 1) / 100
    return teacher, hidden, teacher.log_probs(hidden, prompts, torch.tensor(items), own)


def test_the_dense_head_judges_by_its_distribution_over_the_catalogue(policy):
    _, hidden, found = judge(policy, "dense", [[3, 4, -1], [7, 8, 9]])
    expected = policy.item_logits(hidden).log_softmax(-1)
    torch.testing.assert_close(found, torch.stack([expected[0, [3, 4, 0]], expected[1, [7, 8, 9]]]))
    assert not found.requires_grad


def test_the_table_judges_by_what_followed_and_is_silent_where_nothing_did(policy):
    _, _, found = judge(policy, "transitions", [[1, 2, 3], [1, 2, 3]])
    expected = [0.9 * 2 / 3 + 0.1 / 24, 0.9 / 3 + 0.1 / 24, 0.1 / 24]
    assert found[0].exp().tolist() == pytest.approx(expected)
    assert (found[1] == -torch.inf).all()


def test_the_table_does_not_hold_the_answer_to_a_training_prompt(policy):
    following = np.array([[2, -1], [1, -1]])
    teacher, _, found = judge(policy, "transitions", [[1, 2], [1, 2]], histories=([0], [0]), following=following)
    assert teacher.window == 2
    assert found[0].exp().tolist() == pytest.approx([0.9 + 0.1 / 24, 0.1 / 24])
    assert found[1].exp().tolist() == pytest.approx([0.9 / 2 + 0.1 / 24] * 2)


def test_the_mix_is_that_of_a_search(policy):
    _, hidden, found = judge(policy, "mix", [[1, 2], [1, 2]], share=0.25)
    dense = policy.item_logits(hidden).softmax(-1)[:, 1:3]
    expected = torch.stack([0.75 * dense[0] + 0.25 * torch.tensor([2 / 3, 1 / 3]), dense[1]])
    torch.testing.assert_close(found.exp(), expected)


def test_the_models_own_score_is_mixed_with_the_table_where_there_is_one(policy):
    policy.dense_weight = None  # semantic ids alone
    teacher, _, found = judge(policy, "sft", [[1, 2], [1, 2]], share=0.25)
    assert teacher.window == 2
    expected = [[0.75 * 0.02 + 0.25 * 2 / 3, 0.75 * 0.03 + 0.25 / 3], [0.02, 0.03]]
    torch.testing.assert_close(found.exp(), torch.tensor(expected))


def test_the_dense_head_needs_nothing_to_travel_with_a_prompt(policy):
    assert judge(policy, "dense", [[1], [1]])[0].window == 0
    assert judge(policy, "mix", [[1], [1]])[0].window == 2
