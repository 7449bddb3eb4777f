import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.model.item_vectors import ItemVectors
from genrec.search.attention import NAME, pack_heads
from genrec.search.decode import beam_search
from genrec.search.trie import Trie
from tests.support.lm_tiny import ADAPTERS, MAX_HISTORY, NUM_CODES, random_histories, random_sids, tiny_policy

NUM_ITEMS = 60
SIDS = random_sids(NUM_ITEMS, seed=3)
LENGTHS = st.lists(st.integers(0, MAX_HISTORY), min_size=1, max_size=5)


def _gradients(policy):
    found = {name: p.grad for name, p in policy.trainable_parameters().items()}
    for parameter in policy.trainable_parameters().values():
        parameter.grad = None
    return found


def _with_items(policy):
    torch.manual_seed(0)
    width = policy.causal_model.config.hidden_size
    policy.use_items(ItemVectors(SIDS, NUM_CODES, width, None, ids=True), "item_tokens")
    return policy


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), lengths=LENGTHS, mode=st.sampled_from(ADAPTERS), by_items=st.booleans())
def test_packed_heads_give_the_scores_and_gradients_of_repeated_keys(seed, lengths, mode, by_items):
    policy = tiny_policy(seed, mode=mode)
    if by_items:
        _with_items(policy)
    histories = random_histories(lengths, NUM_ITEMS, seed)
    candidates = torch.from_numpy(SIDS[np.random.default_rng(seed).integers(0, NUM_ITEMS, (len(lengths), 4))]).long()
    items = torch.from_numpy(np.random.default_rng(seed).integers(0, NUM_ITEMS, (3, 4)))
    found = []
    for _ in range(2):
        scores = policy.candidate_log_probs(policy.prompts(histories, SIDS), candidates)
        hidden = policy.sequence_hidden(torch.from_numpy(SIDS).long()[items], items)
        (scores.mean() + hidden.pow(2).mean()).backward()
        searched = beam_search(policy, policy.prompts(histories, SIDS), Trie.from_sids(SIDS, NUM_CODES), 20)
        found.append((scores.detach(), hidden.detach(), searched.scores, _gradients(policy)))
        pack_heads(policy.body)
    assert policy.body.config._attn_implementation == NAME
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    mode=st.sampled_from(["full", "lora"]),
)
def test_packed_histories_have_the_states_and_gradients_of_each_alone(seed, lengths, mode):
    policy = tiny_policy(seed, mode=mode)
    pack_heads(policy.body)
    policy.opening = np.array([policy.vocab.bos_token_id, 2, 3])
    codes = torch.from_numpy(SIDS[np.random.default_rng(seed).integers(0, NUM_ITEMS, sum(lengths))]).long()
    packed = policy.packed_hidden(codes, np.array(lengths))
    slope = torch.randn(packed.shape, generator=torch.Generator().manual_seed(seed))
    (packed * slope).sum().backward()
    gradients = _gradients(policy)
    alone = torch.cat([policy.sequence_hidden(part[None])[0] for part in codes.split(lengths)])
    (alone * slope).sum().backward()
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradients, _gradients(policy), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("reason", ["float32", "dropout", "view", "attention", "prefix"])
def test_histories_are_packed_where_that_is_exact_alone(reason):
    policy = tiny_policy(0)
    policy.forward_dtype = torch.bfloat16
    pack_heads(policy.body)
    assert policy.can_pack
    if reason == "float32":
        policy.forward_dtype = torch.float32
    elif reason == "dropout":
        policy.set_dropout(0.1)
    elif reason == "view":
        _with_items(policy)
    elif reason == "attention":
        policy.body.set_attn_implementation("sdpa")
    else:
        policy = tiny_policy(0, mode="ptuning_v2")
        policy.forward_dtype = torch.bfloat16
        pack_heads(policy.body)
        with pytest.raises(TypeError, match="before packed sequences"):
            policy.packed_hidden(torch.zeros(2, 3, dtype=torch.int64), np.array([2]))
    assert not policy.can_pack
