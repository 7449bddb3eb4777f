"""UserCF: known answers."""

import numpy as np

from tests.support.recall_tiny import fitted


def test_usercf_adds_up_the_cosines_of_the_users_who_had_an_item():
    scorer = fitted("usercf", history_decay=1.0)
    a, b = np.log(4 / 2), np.log(4 / 3)  # idf of item 0 (2 users) and 1 (3 users); log 4 for items of one user
    first = a / np.sqrt(a**2 + b**2 + np.log(4) ** 2)  # history [0] against users 0 and 1
    np.testing.assert_allclose(scorer.scores([[0]])[0], [2 * first, 2 * first, first, first, 0, 0], rtol=1e-5)
    only_one = fitted("usercf", num_neighbours=1, history_decay=1.0).scores([[0]])[0]
    np.testing.assert_allclose(only_one, [first, first, first, 0, 0, 0], rtol=1e-5)  # of equals, the first user
