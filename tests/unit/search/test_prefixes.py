import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.search.prefixes import HeldLogProbs
from genrec.search.trie import Trie
from tests.support.lm_tiny import NUM_CODES, random_sids

NUM_ITEMS = 40
SIDS = random_sids(NUM_ITEMS, seed=3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_prefix_is_as_likely_as_its_items(seed):
    log_probs = 5 * torch.randn(2, NUM_ITEMS, generator=torch.Generator().manual_seed(seed))
    log_probs = log_probs.log_softmax(-1)
    prefixes = HeldLogProbs(Trie.from_sids(SIDS, NUM_CODES), log_probs)
    steps = prefixes.path(torch.from_numpy(SIDS).long().expand(2, -1, -1))
    torch.testing.assert_close(steps.sum(-1), log_probs, atol=1e-4, rtol=1e-4)
    first = prefixes.followers(0, torch.zeros(2, 1, dtype=torch.int64))[:, 0]
    for code in range(NUM_CODES):
        inside = torch.from_numpy(SIDS[:, 0] == code)
        expected = log_probs[:, inside].exp().sum(1).log() if inside.any() else torch.zeros(2)
        torch.testing.assert_close(first[:, code], expected, atol=1e-4, rtol=1e-4)
