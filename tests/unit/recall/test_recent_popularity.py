"""Recency-weighted popularity: known answers."""

import numpy as np

from genrec.recall.parts.scorer import Training
from tests.support.recall_tiny import TRAIN, fitted


def test_recent_popularity_halves_an_event_when_its_share_of_all_events_is_newer():
    times = [np.array(t) for t in ([0, 1, 2], [3, 4, 5], [6, 7])]
    scorer = fitted("recent_popularity", data=Training(TRAIN, 6, timestamps=times), half_life=0.25)
    # 8 events: one with n newer events weighs 2 ** -(n / 8 / .25)
    expected = [2**-3.5 + 2**-2, 2**-3 + 2**-1.5 + 2**-0.5, 2**-2.5, 2**-1, 1, 0]
    np.testing.assert_allclose(scorer.scores([[]])[0], expected, rtol=1e-6)


def test_recent_popularity_with_a_long_half_life_is_popularity():
    times = [np.arange(len(s)) for s in TRAIN]
    scorer = fitted("recent_popularity", data=Training(TRAIN, 6, timestamps=times), half_life=100.0)
    np.testing.assert_allclose(scorer.scores([[]]), fitted("popularity").scores([[]]), rtol=0.01)
