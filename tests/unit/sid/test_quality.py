"""Figures of semantic ids."""

import json

import numpy as np
import pytest

from genrec.sid.quality import collision_rate, fan_out, perplexity, quality_report, utilization
from tests.support.embed_tiny import catalogue_of

CODES = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 2], [3, 1, 2], [0, 0, 1]], dtype=np.int32)


def test_collision_rate_counts_items_that_share_an_id():
    assert collision_rate(CODES) == pytest.approx(2 / 5)
    assert collision_rate(np.unique(CODES, axis=0)) == 0


def test_utilization_is_the_share_of_codes_in_use():
    assert utilization(CODES, 4) == [2 / 4, 2 / 4, 3 / 4]


def test_perplexity_of_equal_use_is_the_number_of_codes():
    assert perplexity(np.array([[0], [1], [5], [6]])) == pytest.approx([4])
    assert perplexity(np.zeros((9, 1), dtype=int)) == pytest.approx([1])
    share = np.array([0.75, 0.25])
    assert perplexity(np.array([[2], [2], [2], [0]])) == pytest.approx([np.exp(-(share * np.log(share)).sum())])


def test_fan_out_counts_the_codes_that_follow_a_prefix():
    assert fan_out(CODES) == [
        {"mean": 2.0, "median": 2.0, "max": 2},
        {"mean": 1.5, "median": 1.5, "max": 2},
        {"mean": pytest.approx(4 / 3), "median": 1.0, "max": 2},
    ]


def test_the_report_shows_moves_cells_and_items_that_share_a_prefix():
    final = CODES.copy()
    final[1] = [0, 0, 3]
    catalogue = catalogue_of([{"title": f"T{i}"} for i in range(4)] + [{"categories": ["a", "b"]}])
    report = quality_report(CODES, final, 4, np.ones(3), np.ones(3), catalogue)
    json.dumps(report)
    assert (report["collision_rate_raw"], report["collision_rate"]) == (0.4, 0.0)
    assert report["moved_share"] == pytest.approx(0.2)
    assert report["moved_share_by_level"] == pytest.approx([0, 0, 0.2])
    assert report["distinct_ids_raw"] == 4
    assert report["largest_collision"] == 2
    assert report["largest_cells"][0] == {
        "depth": 1,
        "cells": [{"prefix": [0], "num_items": 4}, {"prefix": [3], "num_items": 1}],
    }
    shown = report["examples"][1]["prefixes"]
    assert [(e["prefix"], e["num_items"]) for e in shown] == [([0, 0], 3)]
    assert [(i["item_id"], i["sid"], i["title"]) for i in shown[0]["items"]] == [
        ("i0", [0, 0, 0], "T0"),
        ("i1", [0, 0, 3], "T1"),
        ("i4", [0, 0, 1], "a > b"),
    ]
