"""Aims are standardised within each list; what is missing counts as the list's mean and is counted."""

import numpy as np
import pytest

from genrec.rank.rerank.parts import aims
from genrec.rank.rerank.parts.lists import ItemFacts, Lists

NAN = np.nan
FACTS = ItemFacts(np.array([0, 1, 0]), np.zeros(3, dtype=np.int64))


def made(**columns):
    item = np.array([[0, 1, 2, -1]])
    given = {name: np.array([values], dtype=np.float32) for name, values in columns.items()}
    return Lists(item, np.array([[3, 2, 1, 1]], dtype=np.float32), given, FACTS)


def test_a_missing_price_counts_as_the_mean_of_the_list():
    columns, warnings = aims.columns(made(price=[10, NAN, 30, NAN]), ("price",))
    assert columns[0, :, 0].tolist() == [-1, 0, 1, 0]
    assert warnings == {"missing price": 1}, "the column without an item is not missing a price"


def test_a_constant_aim_and_one_that_is_not_there_change_nothing():
    columns, warnings = aims.columns(made(new=[0.1, 0.1, 0.1, NAN]), ("new", "margin"))
    assert not columns.any()
    assert warnings == {"no aim margin": 1}


def test_relevance_is_the_score_and_diversity_what_was_not_above():
    columns, _ = aims.columns(made(), ("relevance", "diversity"))
    assert columns[0, :, 0] == pytest.approx([1.2247449, 0, -1.2247449, 0])
    assert columns[0, 2, 1] < columns[0, 1, 1], "the third item has the category of the first"
    assert aims.names_of(made(price=[1, 2, 3, NAN])) == ("relevance", "price", "diversity")
