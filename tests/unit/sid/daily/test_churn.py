"""Churn between two sets of ids."""

import numpy as np
import pytest

from genrec.errors import DataError
from genrec.sid.daily.churn import churn


def test_no_change_is_no_churn():
    ids = np.array([[0, 1], [0, 2], [1, 1]])
    assert churn(ids, ids) == {"num_items": 3, "changed": [0.0, 0.0], "pairs_kept": [1.0]}


def test_renaming_codes_changes_ids_but_no_pair():
    ids = np.random.default_rng(0).integers(0, 4, (100, 3))
    renamed = np.array([1, 2, 3, 0])[ids]
    changes = churn(ids, renamed)
    assert changes["changed"] == [1.0, 1.0, 1.0]
    assert changes["pairs_kept"] == [1.0, 1.0]


def test_pairs_that_part_are_counted():
    old = np.array([[0, 0], [0, 1], [0, 2], [1, 0]])
    new = np.array([[0, 0], [0, 1], [2, 2], [1, 0]])
    changes = churn(old, new)
    assert changes["changed"] == [0.25, 0.25]
    assert changes["pairs_kept"] == [pytest.approx(1 / 3)]


def test_ids_without_pairs_and_of_different_items():
    assert churn(np.array([[0, 0], [1, 0]]), np.array([[0, 0], [1, 0]]))["pairs_kept"] == [None]
    with pytest.raises(DataError, match="cannot be compared"):
        churn(np.zeros((2, 3), int), np.zeros((3, 3), int))
