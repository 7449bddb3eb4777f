"""Which channels are asked for a request."""

import pytest

from genrec.rank.retrieval import Retrieval
from genrec.serve.ranked.channels import worth_asking

ALL = ("als", "itemcf", "usercf")
IMPORTANCE = {"dense": 0.9, "itemcf_score": 0.02, "usercf_score": 0.004, "usercf_rank": 0.004, "fused": 0.001}


def retrieval(voters):
    counts = dict.fromkeys(("generator", *ALL), 5)
    return Retrieval(None, dict.fromkeys(ALL), counts, voters=voters)


@pytest.mark.parametrize(
    ("voters", "importance", "asked"),
    [
        (("generator", "als"), IMPORTANCE, ("als", "itemcf")),  # a voter of no importance makes candidates
        (("generator", "usercf"), IMPORTANCE, ("itemcf", "usercf")),
        (("generator", "als"), {}, ALL),  # a ranker that tells nothing
        (None, IMPORTANCE, ALL),  # all of them vote
    ],
)
def test_a_channel_without_candidates_and_importance_is_not_asked(voters, importance, asked):
    assert tuple(worth_asking(retrieval(voters), importance).channels) == asked


def test_the_share_is_that_of_all_features_of_a_channel():
    more = IMPORTANCE | {"usercf_share": 0.0015}
    assert tuple(worth_asking(retrieval(("generator",)), more).channels) == ("itemcf", "usercf")


@pytest.mark.parametrize("feature", ["num_channels", "best_place", "fused"])
def test_none_is_left_out_where_the_ranker_uses_what_all_channels_say_together(feature):
    assert tuple(worth_asking(retrieval(("generator",)), IMPORTANCE | {feature: 0.02}).channels) == ALL
