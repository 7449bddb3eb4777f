"""Figures by segment of users are those of its lists."""

import dataclasses

import numpy as np
import pytest

from genrec.rank.figures import list_figures
from genrec.rank.segments import EVENTS, HEAD_SHARE, SEGMENT, by_user_segment
from tests.support.rank_tiny import product_lists

LISTS = product_lists(30)
SCORES = np.random.default_rng(0).normal(size=len(LISTS)).astype(np.float32)


def _segmented(segment):
    """The lists with these segments [L], histories of two and four events by turns, and an unknown share of the head."""
    owner = LISTS.list_of_row
    events = np.log1p(np.array([2.0, 4.0])[owner % 2])
    features = np.stack([np.asarray(segment)[owner], events, np.full(len(owner), np.nan)], axis=1)
    return dataclasses.replace(LISTS, names=(SEGMENT, EVENTS, HEAD_SHARE), features=features.astype(np.float32))


def test_each_segment_has_the_figures_of_its_lists_and_the_largest_comes_first():
    segment = np.where(np.arange(30) < 10, 5.0, 1.0)
    rows = by_user_segment(_segmented(segment), {"ranking": SCORES})
    assert [(row["segment"], row["lists"]) for row in rows] == [(1, 20), (5, 10)]
    own = LISTS.list_of_row < 10
    expected = list_figures(LISTS.take(own), SCORES[own], ks=(10,))
    assert rows[1]["ranking"] == {name: expected[name] for name in ("hr@10", "ndcg@10")}
    assert rows[0]["events"] == pytest.approx(3.0)
    assert rows[0]["head_share"] is None


def test_lists_without_a_segment_are_left_out_and_without_segments_there_is_nothing():
    segment = np.where(np.arange(30) < 4, np.nan, 0.0)
    assert [row["lists"] for row in by_user_segment(_segmented(segment), {"ranking": SCORES})] == [26]
    assert by_user_segment(LISTS, {"ranking": SCORES}) == []
