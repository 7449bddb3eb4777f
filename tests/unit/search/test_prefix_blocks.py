import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.model.item_vectors import ItemVectors
from genrec.model.transitions import Transitions
from genrec.search.decode import beam_search
from genrec.search.prefix_blocks import BlockedLogProbs
from genrec.search.prefixes import HeldLogProbs
from genrec.search.trie import Trie
from tests.support.rl_tiny import NUM_CODES, NUM_ITEMS, SIDS, tiny_policy, tiny_trie

WIDTH = 5


def _both(seed, num_users, num_levels, held, with_table, with_following=False):
    """(held, blocked) distributions of random vectors, some histories without transitions."""
    rng = np.random.default_rng(seed)
    sids = np.unique(rng.integers(0, 3, (30, num_levels)), axis=0)
    sids, num_items = rng.permutation(sids), len(sids)
    trie = Trie.from_sids(sids, 3)
    generator = torch.Generator().manual_seed(seed)
    hidden, vectors = (2 * torch.randn(n, WIDTH, generator=generator) for n in (num_users, num_items))
    log_probs, mixture = (hidden @ vectors.T).log_softmax(-1), None
    if with_table:
        items, offsets = rng.integers(0, num_items, 40), np.arange(0, 41, 5)
        table = Transitions.count(items, offsets, num_items, window=3, history_decay=0.5)
        histories = torch.from_numpy(rng.integers(-1, num_items, (num_users, 4)))
        histories[0] = -1
        following = torch.from_numpy(rng.integers(-1, num_items, (num_users, 2))) if with_following else None
        mixture = table.mixture(histories, 0.4, following, held)
        log_probs = table.mix(log_probs, histories, 0.4, following)
    return trie, HeldLogProbs(trie, log_probs), BlockedLogProbs(trie, hidden, lambda i: vectors[i], mixture, held)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_users=st.integers(1, 4),
    num_levels=st.integers(1, 4),
    held=st.sampled_from([1, 7, 30, 10**6]),
    with_table=st.booleans(),
    with_following=st.booleans(),
)
def test_in_blocks_every_prefix_is_as_likely_as_in_one_table(
    seed, num_users, num_levels, held, with_table, with_following
):
    trie, whole, blocked = _both(seed, num_users, num_levels, held, with_table, with_following)
    for level in range(num_levels + 1):
        every = torch.arange(trie.num_states(level)).expand(num_users, -1)
        torch.testing.assert_close(blocked.of_states(level, every), whole.of_states(level, every), atol=1e-4, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), held=st.sampled_from([1, 9]))
def test_steps_of_a_search_are_the_same_in_blocks_also_behind_dead_beams(seed, held):
    trie, whole, blocked = _both(seed, 2, 3, held, with_table=True)
    state = torch.tensor([[0, -1], [0, 0]])
    for level in range(3):
        children = trie.children(level, state)
        found, wanted = (d.followers(level, state, children.states) for d in (blocked, whole))
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        state = torch.where(torch.tensor([[False, True], [False, False]]), -1, children.states[:, :, 0])
    torch.testing.assert_close(
        blocked.path(torch.zeros(2, 1, 3).long()), whole.path(torch.zeros(2, 1, 3).long()), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_search_over_a_large_catalogue_never_holds_a_number_for_every_user_and_item(share, monkeypatch):
    policy, trie = tiny_policy(), tiny_trie()
    torch.manual_seed(1)
    text = np.random.default_rng(0).normal(size=(NUM_ITEMS, 6)).astype(np.float32)
    items = ItemVectors(SIDS, NUM_CODES, 16, text, ids=True, nodes=True)
    items.transitions = Transitions.count(
        np.arange(NUM_ITEMS), np.array([0, NUM_ITEMS]), NUM_ITEMS, window=3, history_decay=0.5
    )
    policy.use_items(items, "item_tokens", {}, 0.7, {"name": "prefixes", "options": {}})
    policy.transition_share = share
    prompts = policy.prompts([[3, 4], [7], [1, 2, 3]], SIDS)
    wanted = beam_search(policy, prompts, trie, 4, banned=[np.array([5]), np.array([]), np.array([])])
    monkeypatch.setattr("genrec.model.policy.HELD_ENTRIES", 2 * NUM_ITEMS)
    monkeypatch.setattr("genrec.model.item_vectors.HELD_ENTRIES", 2 * NUM_ITEMS)
    monkeypatch.setattr(ItemVectors, "logits", lambda *_: pytest.fail("the logits of all users and items at once"))
    monkeypatch.setattr(Transitions, "scores", lambda *_: pytest.fail("transitions of all users to all items at once"))
    found = beam_search(policy, prompts, trie, 4, banned=[np.array([5]), np.array([]), np.array([])])
    assert torch.equal(found.items, wanted.items)
    torch.testing.assert_close(found.scores, wanted.scores, atol=1e-5, rtol=1e-5)
