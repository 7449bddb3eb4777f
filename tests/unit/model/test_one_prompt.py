"""Searches that share prompts compute the dense head once and find what each finds alone."""

import numpy as np
import pytest
import torch

from genrec.model import one_prompt
from genrec.model.item_vectors import ItemVectors
from genrec.model.one_prompt import SharedPrompts
from genrec.model.transitions import Transitions
from genrec.search.decode import beam_search
from tests.support.rl_tiny import NUM_CODES, NUM_ITEMS, SIDS, tiny_policy, tiny_trie

SCORINGS = [(0.9, 0.3), (0.9, 0.3), (0.0, 0.0), (1.0, 0.0), (1.0, 0.9)]
HISTORIES = [np.array(h) for h in ([0, 1], [2], [1, 3])]


def _policy():
    policy = tiny_policy()
    torch.manual_seed(5)
    items = ItemVectors(SIDS, NUM_CODES, 16, None, ids=True)
    torch.nn.init.normal_(items.ids.weight)
    flat, offsets = np.array([0, 1, 2, 3, 1, 2]), np.array([0, 3, 6])
    items.transitions = Transitions.count(flat, offsets, NUM_ITEMS, window=2, history_decay=0.5)
    policy.use_items(items, "item_tokens", {}, 0.5)
    return policy


@pytest.mark.parametrize("leaves_above", [0, 50_000])
def test_lists_are_those_of_the_policy_under_every_scoring(monkeypatch, leaves_above):
    monkeypatch.setattr(one_prompt, "LEAVES_ABOVE", leaves_above)
    policy, trie = _policy(), tiny_trie()
    shared = SharedPrompts(policy)
    for _ in range(2):  # other prompts after the first
        prompts = policy.prompts(HISTORIES, SIDS)
        for policy.dense_weight, policy.transition_share in SCORINGS:
            alone, found = (beam_search(model, prompts, trie, 5, HISTORIES) for model in (policy, shared))
            if leaves_above:
                assert torch.equal(found.scores, alone.scores)
            torch.testing.assert_close(found.scores, alone.scores, atol=1e-5, rtol=1e-5)
            assert torch.equal(found.items, alone.items)


@pytest.mark.parametrize(("leaves_above", "computed"), [(0, "vectors_of"), (50_000, "item_logits")])
def test_the_dense_head_is_computed_once_for_prompts(monkeypatch, leaves_above, computed):
    monkeypatch.setattr(one_prompt, "LEAVES_ABOVE", leaves_above)
    policy, trie, calls = _policy(), tiny_trie(), []
    original = getattr(policy, computed)
    monkeypatch.setattr(policy, computed, lambda *given: (calls.append(1), original(*given))[1])
    shared = SharedPrompts(policy)
    for _ in range(2):
        prompts = policy.prompts(HISTORIES, SIDS)
        for policy.dense_weight, policy.transition_share in SCORINGS:
            beam_search(shared, prompts, trie, 3)
    assert len(calls) == (1 if leaves_above == 0 else 2)  # vectors of the items: once for all prompts
