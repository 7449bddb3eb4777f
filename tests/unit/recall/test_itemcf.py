"""ItemCF: known answers."""

import numpy as np

from tests.support.recall_tiny import fitted


def test_itemcf_is_the_cosine_of_user_sets():
    # item 0: users {0,1}; item 1: {0,1,2}; item 2: {0}; item 4: {2}
    expected = [0, 2 / np.sqrt(2 * 3), 1 / np.sqrt(2), 1 / np.sqrt(2), 0, 0]
    np.testing.assert_allclose(fitted("itemcf").scores([[0]])[0], expected, rtol=1e-6)


def test_a_lower_exponent_favours_popular_candidates():
    # users with item 0: 2, with item 1: 3, with items 2 and 3: 1
    expected = [0, 2 / np.sqrt(2), 1 / np.sqrt(2), 1 / np.sqrt(2), 0, 0]
    np.testing.assert_allclose(fitted("itemcf", popularity_exponent=0.0).scores([[0]])[0], expected, rtol=1e-6)


def test_itemcf_weighs_old_history_items_less_when_told_to():
    scorer, flat = fitted("itemcf", history_decay=0.5), fitted("itemcf")
    expected = 0.5 * flat.scores([[0]]) + flat.scores([[4]])  # the newest item comes last
    np.testing.assert_allclose(scorer.scores([[0, 4]]), expected, rtol=1e-6)
