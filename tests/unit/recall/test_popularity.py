"""Popularity: known answers."""

import numpy as np

from tests.support.recall_tiny import fitted


def test_popularity_is_the_number_of_training_events():
    np.testing.assert_array_equal(fitted("popularity").scores([[3]])[0], [2, 3, 1, 1, 1, 0])
