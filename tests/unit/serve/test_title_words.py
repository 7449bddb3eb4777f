"""Words of titles: case, accents, marks, writing without spaces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.serve.title_words import plain, plain_words, spelled_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Crème Brûlée, 2-Pack", ["creme", "brulee", "2", "pack"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("İstanbul", ["istanbul"]),
        ("ﬁne ①", ["fine", "1"]),
        ("snake_case", ["snake", "case"]),
        ("抹茶ラテ mix", ["抹", "茶", "ラ", "テ", "mix"]),
        ("한국 차", ["한국", "차"]),
        ("हिन्दी", ["हिनदी"]),
        ("<img src=x>", ["img", "src", "x"]),
        ("", []),
        (" -- ", []),
    ],
)
def test_a_title_is_read_as_words_without_case_accents_and_marks(text, words):
    assert plain_words(text) == words


def test_words_are_shown_as_the_title_spells_them():
    assert list(spelled_words("Freeze-Dried Crème (Large), & 16oz!")) == [
        (("freeze", "dried"), "Freeze-Dried"),
        (("creme",), "Crème"),
        (("large",), "Large"),
        (("16oz",), "16oz"),
    ]


@settings(max_examples=40, deadline=None)
@given(st.text())
def test_a_text_as_plain_writes_it_is_not_changed_again(text):
    assert plain_words(" ".join(plain_words(text))) == plain_words(text)
    assert all(plain(word) == word for word in plain_words(text))


@settings(max_examples=40, deadline=None)
@given(st.text())
def test_every_word_that_is_shown_has_the_words_that_are_searched(text):
    for words, spelled in spelled_words(text):
        assert words == tuple(plain_words(spelled))
