"""Search in titles: what matches, and in which order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.serve.titles import MAX_WORDS, TitleIndex

TITLES = [
    "Burr Coffee Grinder, Cream",
    "Coffee beans, dark roast",
    "Crème Brûlée Torch",
    "Coffeemaker with a grinder",
    "Tea kettle",
    "",
    "抹茶 ラテ",
    "Grinder for spices",
]
IDS = ["B01", "B02", "B03", "B04", "B05", "SKU-9/x", "B07", "B08"]
POPULARITY = np.array([5, 9, 1, 7, 3, 0, 2, 9])


@pytest.fixture(scope="module")
def index():
    return TitleIndex(IDS, TITLES, POPULARITY)


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("kettle", [4]),
        ("KETTLE", [4]),
        ("creme brulee", [2]),
        ("CRÈME", [2]),
        ("coffee", [1, 0, 3]),  # whole words before beginnings; "Coffee beans" begins so
        ("coff", [1, 3, 0]),  # both begin so: the popular one first
        ("coffee grinder", [0, 3]),
        ("grinder coffee", [0, 3]),
        ("grin", [7, 3, 0]),
        ("tea zeppelin", [4]),  # the word that is there counts
        ("抹茶", [6]),
        ("茶", [6]),
        ("b04", [3]),
        ("sku-9/X", [5]),
        ("  kettle  ", [4]),
        ("zeppelin", []),
        ("", []),
        ("   ", []),
        ("?!*", []),
        (".*", []),
    ],
)
def test_titles_are_found_by_words_and_beginnings_best_first(index, query, items):
    assert index.search(query, 10).tolist() == items


def test_no_more_than_the_limit_are_found_and_they_are_the_best(index):
    assert index.search("coffee", 2).tolist() == [1, 0]
    assert index.search("coffee", 1).tolist() == [1]


def test_equal_titles_come_by_popularity_then_in_the_order_of_the_catalogue():
    index = TitleIndex(["a1", "a2", "a3", "a4"], ["Red mug"] * 4, np.array([2, 5, 5, 1]))
    assert index.search("mug", 10).tolist() == [1, 2, 0, 3]


def test_a_title_that_begins_as_the_query_does_is_not_lost_among_thousands():
    titles = [f"Fine mug {i}" for i in range(5000)] + ["Mug of clay"]
    index = TitleIndex([f"i{i}" for i in range(5001)], titles, np.arange(5001)[::-1])
    assert index.search("mug", 3).tolist() == [5000, 0, 1]


def test_an_empty_catalogue_has_no_titles():
    assert TitleIndex([], [], np.empty(0, dtype=np.int64)).search("mug", 5).tolist() == []


def test_words_beyond_the_limit_are_not_looked_at(index):
    filler = " ".join(f"w{i}" for i in range(MAX_WORDS))
    assert index.search(f"{filler} kettle", 5).tolist() == []


WORDS = st.lists(st.sampled_from(["tea", "teapot", "Té", "pot", "red", "redden"]), max_size=5).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(st.lists(WORDS, max_size=12), WORDS, st.integers(1, 12))
def test_the_index_finds_what_a_look_at_every_title_finds(titles, query, limit):
    popularity = np.arange(len(titles)) % 3
    index = TitleIndex([f"id{i}" for i in range(len(titles))], titles, popularity)
    plain = [title.lower().replace("é", "e") for title in titles]
    asked = [*dict.fromkeys(query.lower().replace("é", "e").split())]

    def fit(item: int) -> tuple[int, int, bool, int, int]:
        words = plain[item].split()
        whole = sum(word in words for word in asked)
        matched = sum(any(w.startswith(word) for w in words) for word in asked)
        begins = plain[item].startswith(query.lower().replace("é", "e"))
        return matched, whole, begins, int(popularity[item]), -item

    order = sorted(range(len(titles)), key=fit, reverse=True)
    most = max((fit(item)[0] for item in order), default=0)
    expected = [item for item in order if most and fit(item)[0] == most]
    assert index.search(query, limit).tolist() == expected[:limit]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=40))
def test_any_query_is_answered(query):
    assert len(TitleIndex(IDS, TITLES, POPULARITY).search(query, 3)) <= 3
