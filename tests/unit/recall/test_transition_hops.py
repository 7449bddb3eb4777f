"""Transitions of one and two hops: known answers."""

import numpy as np

from tests.support.recall_tiny import fitted

# 0 -> 1 (twice), 0 -> 2; 1 -> 3; 2 -> 1; item 4 was never followed
SEQUENCES = [np.array(s, dtype=np.int32) for s in ([0, 1, 3], [0, 1], [0, 2, 1], [4])]


def scores(history, **options):
    return fitted("transition_hops", SEQUENCES, 5, **options).scores([np.array(history)])[0]


def test_an_edge_is_the_share_of_the_followers_and_a_path_their_product():
    # from 0: 1 (2 of 3), 2 (1 of 3). Two hops: 0 -> 1 -> 3 with 2/3 * 1; 0 -> 2 -> 1 leads where an edge leads already
    np.testing.assert_allclose(scores([0], two_hops=0.5), [0, 2 / 3, 1 / 3, 0.5 * 2 / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(scores([0], two_hops=0.0), [0, 2 / 3, 1 / 3, 0, 0], rtol=1e-6)


def test_an_older_item_of_the_history_counts_less():
    # the last item is 2: 2 -> 1, 1 -> 3; item 0 is one event older
    np.testing.assert_allclose(
        scores([0, 2], two_hops=0.5, history_decay=0.5),
        [0, 1 + 0.5 * 2 / 3, 0.5 / 3, 0.5 + 0.5 * 0.5 * 2 / 3, 0],
        rtol=1e-6,
    )


def test_only_the_likeliest_ends_of_two_hops_are_kept():
    chain = [np.array(s, dtype=np.int32) for s in ([0, 1], [1, 2], [1, 2], [1, 3])]
    two_hops = fitted("transition_hops", chain, 4, two_hops=1.0, num_two_hops=1).scores([np.array([0])])[0]
    np.testing.assert_allclose(two_hops, [0, 1, 2 / 3, 0], rtol=1e-6)


def test_a_path_back_to_its_start_is_no_candidate():
    back = [np.array([0, 1, 0], dtype=np.int32)]
    np.testing.assert_allclose(fitted("transition_hops", back, 2, two_hops=1.0).scores([np.array([0])])[0], [0, 1])


def test_nothing_follows_from_an_item_without_followers():
    items, _ = fitted("transition_hops", SEQUENCES, 5).top([np.array([4])], 3)
    assert items.tolist() == [[-1, -1, -1]]
