"""The dense head's distribution from logits that several searches share."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.model.transitions import Transitions
from genrec.search.leaf_logits import LeafLogits
from genrec.search.prefixes import HeldLogProbs
from genrec.search.trie import Trie

WIDTH = 5


def _case(seed, num_users, num_levels):
    rng = np.random.default_rng(seed)
    sids = rng.permutation(np.unique(rng.integers(0, 3, (30, num_levels)), axis=0))
    generator = torch.Generator().manual_seed(seed)
    hidden, vectors = (2 * torch.randn(n, WIDTH, generator=generator) for n in (num_users, len(sids)))
    items, offsets = rng.integers(0, len(sids), 40), np.arange(0, 41, 5)
    table = Transitions.count(items, offsets, len(sids), window=3, history_decay=0.5)
    histories = torch.from_numpy(rng.integers(-1, len(sids), (num_users, 4)))
    histories[0] = -1  # has no transitions
    return Trie.from_sids(sids, 3), hidden, vectors, table, histories


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_users=st.integers(1, 4),
    num_levels=st.integers(1, 4),
    shares=st.lists(st.sampled_from([0.0, 0.3, 0.7]), min_size=1, max_size=3),
)
def test_every_prefix_is_as_likely_as_by_a_softmax_of_its_own_under_each_share(seed, num_users, num_levels, shares):
    trie, hidden, vectors, table, histories = _case(seed, num_users, num_levels)
    shared = LeafLogits(trie, vectors[trie.leaf_items], hidden)
    for share in shares:
        mixture, log_probs = None, (hidden @ vectors.T).log_softmax(-1)
        if share:
            mixture, log_probs = table.mixture(histories, share, None, 100), table.mix(log_probs, histories, share)
        whole, found = HeldLogProbs(trie, log_probs), shared.prefixes(mixture)
        for level in range(num_levels + 1):
            every = torch.arange(trie.num_states(level)).expand(num_users, -1)
            wanted = whole.of_states(level, every)
            torch.testing.assert_close(found.of_states(level, every), wanted, atol=1e-4, rtol=1e-4)


def test_steps_of_a_search_behind_dead_beams_are_finite():
    trie, hidden, vectors, table, histories = _case(3, 2, 3)
    found = LeafLogits(trie, vectors[trie.leaf_items], hidden).prefixes(table.mixture(histories, 0.4, None, 100))
    steps = found.followers(2, torch.tensor([[0, -1], [-1, 0]]))
    assert torch.isfinite(steps).all()
    assert not steps[0, 1].any()


def test_a_prefix_far_below_the_best_item_keeps_a_finite_share():
    trie = Trie.from_sids(np.array([[0, 0], [1, 0]]), 2)
    found = LeafLogits(trie, torch.tensor([[500.0], [0.0]]), torch.ones(1, 1)).prefixes(None)
    first, second = found.of_states(1, torch.tensor([[0, 1]]))[0].tolist()
    assert first == 0
    assert -88 < second < -87
    assert found.of_states(2, torch.tensor([[1]])).item() == -500
