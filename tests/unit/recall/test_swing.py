"""Swing: known answers, and its definition."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.recall_tiny import fitted


def test_swing_counts_pairs_of_users_who_share_both_items_and_little_else():
    sequences = [np.array(s, dtype=np.int32) for s in ([0, 1, 2], [0, 1, 3], [0, 1, 2], [1, 4])]
    scorer = fitted("swing", sequences, alpha=1.0, beta=1.0, exponent=0.5, history_decay=1.0)
    # users 0-1 and 1-2 share {0, 1}; users 0-2 share {0, 1, 2}; every one of them has 3 items, so w_u w_v = 1 / 4
    near, far = 0.25 / (1 + 2), 0.25 / (1 + 3)
    np.testing.assert_allclose(scorer.scores([[0]])[0], [0, 2 * near + far, far, 0, 0, 0], rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 7), max_size=8), min_size=1, max_size=8), st.floats(0.1, 5))
def test_swing_equals_its_definition(sequences, alpha):
    users = [set(s) for s in sequences]
    expected = np.zeros((8, 8))
    for u, v in itertools.combinations(range(len(users)), 2):
        both = users[u] & users[v]
        for i, j in itertools.permutations(both, 2):
            expected[i, j] += ((len(users[u]) + 1) * (len(users[v]) + 1)) ** -0.5 / (alpha + len(both))
    scorer = fitted("swing", [np.array(s, dtype=np.int32) for s in sequences], 8, alpha=alpha)
    np.testing.assert_allclose(scorer.weights.toarray(), expected, rtol=1e-5, atol=1e-6)
