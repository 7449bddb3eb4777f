"""Fitting of the channels that a config asks for."""

import numpy as np

from genrec.config.rank import RankConfig
from genrec.rank.fitting import TABLES, fit_retrieval
from tests.support.features_tiny import queries, training

OFF = dict.fromkeys(RankConfig().channels, 0)


def config(**more):
    return RankConfig(channels={**OFF, "generator": 5, "itemcf": 4, "popularity": 3}, **more)


def test_the_channels_that_are_asked_are_fitted_and_timed_and_the_others_are_not():
    retrieval, seconds = fit_retrieval(training(), config(), {})
    assert set(retrieval.channels) == {"itemcf", "popularity"}
    assert set(seconds) == {"itemcf", "popularity", TABLES}
    assert retrieval.counts == {"generator": 5, "itemcf": 4, "popularity": 3}


def test_a_voter_that_is_not_asked_has_no_say_and_without_any_all_have():
    assert fit_retrieval(training(), config(voters=["itemcf", "als"]), {})[0].voters == ("itemcf",)
    assert fit_retrieval(training(), config(voters=["als"]), {})[0].voters is None


def test_options_of_a_channel_are_those_that_are_given():
    asked = queries([0, 1])
    plain, other = (
        fit_retrieval(training(), config(), options)[0] for options in ({}, {"itemcf": {"popularity_exponent": 0.0}})
    )
    scores = [made.channels["itemcf"].scores(asked.histories) for made in (plain, other)]
    assert not np.allclose(*scores)
