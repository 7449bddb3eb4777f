import numpy as np

from genrec.recall.transitions import transition_weights
from genrec.transitions import weighted_pairs


def test_pairs_stay_inside_their_sequence_and_weigh_one_over_their_distance():
    items, sequence = np.array([4, 5, 4, 7, 8]), np.array([0, 0, 0, 1, 1])
    pairs = [(weight, before.tolist(), after.tolist()) for weight, before, after in weighted_pairs(items, sequence, 3)]
    assert pairs == [(1.0, [4, 5, 7], [5, 4, 8]), (0.5, [4], [4]), (1 / 3, [], [])]


def test_no_events_give_no_pairs():
    empty = np.empty(0, dtype=np.int64)
    assert all(not len(before) and not len(after) for _, before, after in weighted_pairs(empty, empty, 4))


def test_the_baseline_adds_pairs_up():
    weights = transition_weights([[0, 1, 2], [0, 1], []], 3, window=2).toarray()
    np.testing.assert_allclose(weights, [[0, 2, 0.5], [0, 0, 1], [0, 0, 0]])
