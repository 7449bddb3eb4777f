"""Names of the prefixes of semantic ids, on catalogues whose typical words are planted."""

import numpy as np
import pytest

from genrec.serve.prefix_names import PrefixName, PrefixNames

# First code: tea or coffee; second: black or green, beans or ground. "Fine" is in every title.
TITLES = [
    "Fine Assam black tea", "Fine Ceylon black tea", "Fine Sencha green tea", "Fine Matcha green tea",
    "Fine Brazil coffee beans", "Fine Kenya coffee beans", "Fine ground coffee", "Fine Lungo ground coffee",
]  # fmt: skip
SIDS = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 2, 0]])
NONE = [()] * len(TITLES)


@pytest.fixture(scope="module")
def names():
    return PrefixNames(SIDS, TITLES, NONE)


def test_a_prefix_is_named_by_the_words_that_most_items_below_and_few_others_have(names):
    path = names.path((0, 0, 0))
    assert "tea" in path[0].words
    assert "Fine" not in path[0].words
    assert path[0].num_items == 4


def test_a_longer_prefix_says_what_the_shorter_one_did_not(names):
    for sid in SIDS.tolist():
        first, second, _ = names.path(sid)
        assert not set(first.words) & set(second.words)
    assert "coffee" in names.path((1, 0, 0))[0].words


def test_planted_words_come_out_at_every_level():
    titles = [f"alpha{a} beta{a}{b} item{a}{b}{c}" for a in range(6) for b in range(6) for c in range(6)]
    sids = np.array([(a, b, c) for a in range(6) for b in range(6) for c in range(6)])
    names = PrefixNames(sids, titles, [()] * len(titles))
    for a, b, c in sids[::17].tolist():
        first, second, third = names.path((a, b, c))
        assert first.words[0] == f"alpha{a}"
        assert f"beta{a}{b}" in {*first.words, *second.words}
        assert third == PrefixName((a, b, c), [], f"alpha{a} beta{a}{b} item{a}{b}{c}", 1)


def test_a_word_of_all_items_below_is_before_one_that_is_only_rare():
    titles = ["common zebra", "common yak", *["other"] * 20, *["common x"] * 3]
    sids = np.array([[0, 0, i] for i in range(2)] + [[1, i, 0] for i in range(23)])
    assert "common" in PrefixNames(sids, titles, [()] * 25).path((0, 0, 0))[0].words


def test_a_prefix_with_one_item_has_its_title(names):
    assert names.path((1, 1, 0))[1] == PrefixName((1, 1), [], "Fine ground coffee", 1)
    assert [step.title for step in names.path((1, 1, 0))] == [None, "Fine ground coffee", "Fine ground coffee"]


def test_whole_categories_come_first_and_stand_for_their_words():
    titles = ["Burr grinder", "Hand grinder", "Assam tea", "Sencha tea"]
    categories = [("Coffee", "Coffee Grinders")] * 2 + [("Tea",)] * 2
    sids = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]])
    first = PrefixNames(sids, titles, categories).path((0, 0, 0))[0]
    assert first.words[0] == "Coffee Grinders"
    assert not {"grinder", "Coffee"} & set(first.words)


@pytest.mark.parametrize(
    ("category", "word"), [("Dog Leashes", "leash"), ("Pan Cases", "case"), ("Harness", "harness")]
)
def test_singular_and_plural_are_one_word(category, word):
    sids = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]])
    names = PrefixNames(sids, [f"{word} red", f"{word} red", "tea", "mug"], [(category,), (category,), (), ()])
    assert names.path((0, 0, 0))[0].words == [category, "red"]


def test_what_all_items_below_a_prefix_have_does_not_name_a_longer_one():
    titles = ["a1 b1 c1 d1 apple", "a1 b1 c1 d1 apple", "a1 b1 c1 d1 pear", "other"]
    titles = [title.replace("1", "ware") for title in titles]
    sids = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    assert PrefixNames(sids, titles, [()] * 4).path((0, 0, 0))[1].words == ["apple"]


def test_a_word_is_spelled_as_it_mostly_is():
    titles = ["TEA one", "Tea two", "Tea three", "mug"]
    sids = np.array([[0, 0, 0], [0, 1, 0], [0, 2, 0], [1, 0, 0]])
    assert PrefixNames(sids, titles, [()] * 4).path((0, 0, 0))[0].words[0] == "Tea"


def test_items_without_words_leave_a_prefix_without_a_name():
    sids = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0]])
    path = PrefixNames(sids, ["", "12", "tea"], [()] * 3).path((0, 0, 0))
    assert path[0] == PrefixName((0,), [], None, 2)


def test_a_catalogue_of_one_kind_is_named_by_what_all_have():
    sids = np.array([[0, 0, 0], [0, 1, 0]])
    assert PrefixNames(sids, ["green tea", "green tea"], [()] * 2).path((0, 0, 0))[0].words == ["green", "tea"]


def test_the_same_catalogue_gives_the_same_names(names):
    again = PrefixNames(SIDS.copy(), list(TITLES), NONE)
    assert [again.path(sid) for sid in SIDS.tolist()] == [names.path(sid) for sid in SIDS.tolist()]


def test_an_id_that_no_item_has_is_refused(names):
    with pytest.raises(ValueError, match=r"\(0, 2\)"):
        names.path((0, 2, 0))
