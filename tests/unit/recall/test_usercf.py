"""UserCF: known answers."""

import numpy as np

from tests.support.recall_tiny import fitted, two_camps


def test_usercf_adds_up_the_cosines_of_the_users_who_had_an_item():
    scorer = fitted("usercf", history_decay=1.0)
    a, b = np.log(4 / 2), np.log(4 / 3)  # idf of item 0 (2 users) and 1 (3 users); log 4 for items of one user
    first = a / np.sqrt(a**2 + b**2 + np.log(4) ** 2)  # history [0] against users 0 and 1
    np.testing.assert_allclose(scorer.scores([[0]])[0], [2 * first, 2 * first, first, first, 0, 0], rtol=1e-5)
    only_one = fitted("usercf", num_neighbours=1, history_decay=1.0).scores([[0]])[0]
    np.testing.assert_allclose(only_one, [first, first, first, 0, 0, 0], rtol=1e-5)  # of equals, the first user


def test_the_neighbours_of_one_history_are_those_it_has_beside_others():
    scorer = fitted("usercf", two_camps(seed=1), 12, num_neighbours=7)
    histories = [[0, 3], [11, 6, 7, 6], [2]]
    items, values = scorer.top(histories, 12)
    for row, history in enumerate(histories):
        alone = scorer.top([history], 12)
        np.testing.assert_array_equal(alone[0][0], items[row])
        np.testing.assert_allclose(alone[1][0], values[row], rtol=1e-5)
