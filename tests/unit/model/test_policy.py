"""Prompts, scores and logits of the policy against plain forwards."""

import numpy as np
import pytest
import torch

from genrec.model.item_vectors import ItemVectors
from genrec.search.decode import beam_search
from genrec.search.trie import Trie
from tests.support.lm_tiny import (
    ADAPTERS,
    MAX_HISTORY,
    NUM_CODES,
    VOCAB,
    plain_log_probs,
    random_histories,
    random_sids,
    sequence_logits,
    tiny_policy,
)

NUM_ITEMS = 90
SIDS = random_sids(NUM_ITEMS, seed=7)


@pytest.mark.parametrize("mode", [*ADAPTERS, "ptuning_v2 projected"])
@pytest.mark.parametrize("tied", [False, True])
def test_candidate_log_probs_and_gradients_are_those_of_plain_forwards(tied, mode):
    policy = tiny_policy(3, tied, mode=mode)
    histories = random_histories([0, 2, 8], NUM_ITEMS, 3)
    group = torch.from_numpy(SIDS[:7]).long()
    together = policy.candidate_log_probs(policy.prompts(histories, SIDS), group.expand(3, -1, -1))
    alone = torch.stack([plain_log_probs(policy, history, SIDS)[:7] for history in histories])
    np.testing.assert_allclose(together.detach(), alone.detach(), atol=1e-5)
    parameters = list(policy.trainable_parameters().values())
    weights = torch.randn(together.shape)
    ours = torch.autograd.grad((together * weights).sum(), parameters)
    plain = torch.autograd.grad((alone * weights).sum(), parameters)
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3)


def test_a_missing_candidate_has_log_prob_zero_and_no_gradient():
    policy = tiny_policy()
    prompts = policy.prompts([np.array([1, 2])], SIDS)
    log_probs = policy.candidate_log_probs(prompts, torch.full((1, 2, 3), -1))
    assert (log_probs == 0).all()
    log_probs.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in policy.model.parameters())


def test_training_sees_what_a_prompt_shows():
    policy = tiny_policy(5)
    history = random_histories([MAX_HISTORY + 1], NUM_ITEMS, 5)[0]
    padded = np.concatenate([history, [0, 0]])  # padding behind must not matter
    logits = sequence_logits(policy, torch.from_numpy(SIDS[padded]).long()[None])
    for position in range(len(history)):
        target = torch.from_numpy(SIDS[history[position]]).long()
        asked = policy.candidate_log_probs(policy.prompts([history[:position]], SIDS), target[None, None])[0, 0]
        trained = logits[0, position].log_softmax(-1).gather(1, target[:, None])[:, 0]
        torch.testing.assert_close(trained, asked, atol=1e-5, rtol=0)


def test_prompts_hold_bos_and_the_last_items_behind_padding():
    policy = tiny_policy()
    history = list(range(MAX_HISTORY + 2))
    batch = policy.prompts([history, [], [4]], SIDS)
    tokens = policy.vocab.token_ids(SIDS)
    assert batch.input_ids[0].tolist() == [0, *tokens[2 : MAX_HISTORY + 2].reshape(-1)]
    assert batch.input_ids[2, -4:].tolist() == [0, *tokens[4]]
    assert batch.attention_mask.sum(1).tolist() == [1 + 3 * MAX_HISTORY, 1, 4]
    assert (batch.attention_mask.diff(dim=1) >= 0).all()


def test_dropout_acts_in_train_mode_only_and_can_be_removed():
    policy = tiny_policy()
    codes = torch.from_numpy(SIDS[:4]).long()[None]
    plain = sequence_logits(policy, codes)
    policy.set_dropout(0.5)
    torch.testing.assert_close(sequence_logits(policy, codes), plain, rtol=0, atol=0)
    policy.model.train()
    assert not torch.allclose(sequence_logits(policy, codes), plain)
    trie = Trie.from_sids(SIDS, NUM_CODES)
    prompts = policy.prompts([np.array([1])], SIDS)
    torch.testing.assert_close(
        beam_search(policy, prompts, trie, 5).scores, beam_search(policy, prompts, trie, 5).scores
    )
    assert policy.model.training
    policy.set_dropout(0.0)
    torch.testing.assert_close(sequence_logits(policy, codes), plain, rtol=0, atol=0)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_level_logits_are_float32_products_also_of_rounded_states_and_inside_autocast(precision):
    policy = tiny_policy()
    policy.forward_dtype = precision
    hidden = (10 * torch.randn(4, 3, 16, generator=torch.Generator().manual_seed(0))).to(precision)
    rows = policy.head_rows()
    wanted = torch.einsum("tld,lkd->tlk", hidden.float(), rows.float())
    with policy.precision():
        found = policy.level_logits(hidden)
        first = policy.level_logits(hidden[:, 0], rows[0])
    assert found.dtype == first.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(first, wanted[:, 0], rtol=1e-5, atol=1e-5)


def test_the_dense_head_takes_float32_products_inside_autocast():
    policy = tiny_policy()
    policy.use_items(ItemVectors(random_sids(20, seed=0), VOCAB.num_codes, 16, None, ids=True), dense_weight=0.5)
    hidden = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    wanted = policy.item_logits(hidden)
    policy.forward_dtype = torch.bfloat16
    with policy.precision():
        torch.testing.assert_close(policy.item_logits(hidden), wanted, rtol=0, atol=0)
