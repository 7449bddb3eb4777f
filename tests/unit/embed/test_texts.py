"""The text of an item."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.embed.texts import item_texts
from genrec.errors import DataError
from tests.support.embed_tiny import catalogue_of

FIELDS = ["title", "brand", "categories", "description"]


ROWS = [
    {"title": "Steel nut", "brand": "Acme", "categories": ["Tools", "Nuts"], "description": "ten  pack\nof nuts"},
    {"title": "Red lamp", "categories": ["Light"]},
    {"title": "Steel nut", "brand": "Acme", "categories": ["Tools", "Nuts"], "description": "ten pack of nuts"},
    {},
]


def test_a_text_has_one_labelled_line_for_each_field_that_is_not_empty():
    texts, inverse = item_texts(catalogue_of(ROWS), FIELDS)
    assert texts == [
        "Title: Steel nut\nBrand: Acme\nCategories: Tools > Nuts\nDescription: ten pack of nuts",
        "Title: Red lamp\nCategories: Light",
        "",
    ]
    assert inverse.tolist() == [0, 1, 0, 2]
    assert inverse.dtype == np.int64


def test_fields_are_taken_in_the_order_given():
    texts, _ = item_texts(catalogue_of(ROWS[:1]), ["brand", "title"])
    assert texts == ["Brand: Acme\nTitle: Steel nut"]


def test_unknown_and_missing_fields_are_named():
    with pytest.raises(DataError, match=r"'colour'.*known: title"):
        item_texts(catalogue_of(ROWS), ["colour"])
    with pytest.raises(DataError, match="no column 'brand'"):
        item_texts(catalogue_of(ROWS).drop_columns(["brand"]), FIELDS)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["", "a", "b c", "d"]), min_size=1, max_size=30))
def test_texts_are_distinct_and_the_inverse_gives_each_item_its_own(titles):
    texts, inverse = item_texts(catalogue_of([{"title": t} for t in titles]), ["title"])
    assert len(set(texts)) == len(texts)
    assert [texts[i] for i in inverse] == [f"Title: {t}" if t else "" for t in titles]
