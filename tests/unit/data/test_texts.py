"""Texts without HTML, page script, printed lists and words for nothing; texts that only look like these stay."""

import json
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.texts import cleaned, list_in_text, name_lists, text_column

SCRIPT = "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();\nvar ue_csm = window, ue_hob = 1;"


@pytest.mark.parametrize(
    ("text", "meant", "rule"),
    [
        ('<span id="productTitle" class="a-size-large">Pen &amp; Ink</span>', "Pen & Ink", "html"),
        ("<p>one</p><p>two<br/>three</p>", "one two three", "html"),
        ("<style>a {b: c}</style><!-- no -->Pen<script>f()</script>", "Pen", "html"),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold", "html"),
        ('Pen <a href="x?a=1&b=2" title="cut off here', "Pen", "html"),
        ("<DIV>Pen</DIV> for 3 < 5 <widgets>", "Pen for 3 < 5 <widgets>", "html"),
        ("AT&amp;T", "AT&T", "html"),
        (SCRIPT, "", "page_scripts"),
        (f"<script>{SCRIPT}", "", "page_scripts"),
        ("<frameset>Gold</frameset> <template>ring</template>", "Gold ring", "html"),
        ("<STYLE>a</style>Pen <!-- a --> of <script>Script", "Pen of <script>Script", "html"),
        ("[[], ['A', 'B']]", "A B", "lists_in_text"),
        ("nan", "", "missing_words"),
        (" <NA> ", "", "missing_words"),
        ("['a', \"b's\"]", "a b's", "lists_in_text"),
        ("[]", "", "lists_in_text"),
    ],
)
def test_what_is_no_text_goes_and_is_counted(text: str, meant: str, rule: str) -> None:
    changes: Counter[str] = Counter()
    assert cleaned(text, changes) == meant
    assert changes == {rule: 1}
    assert text_column(pl.Series("t", ["x", text, None]), changes).to_list() == ["x", meant, None]
    assert changes == {rule: 2}


@pytest.mark.parametrize(
    "text",
    [
        "3 < 5 and 5 > 3",
        "I <3 pens",
        "vector<int>",
        "AT&T & Co",
        "[New] Pen",
        "[Sale]",
        "(red)",
        "()",
        "{}",
        "Nan's bread",
        "null and void",
        "a <b",
        "JavaScript: var and function (2nd ed.)",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    changes: Counter[str] = Counter()
    assert cleaned(text, changes) == text
    assert not changes


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8), max_size=4))
def test_a_printed_list_is_read_as_the_list(names: list[str]) -> None:
    meant = [name.strip() for name in names if name.strip()]
    for printed in (str(names), json.dumps(names), json.dumps(names, ensure_ascii=False)):
        assert list_in_text(printed) == meant
    if len(names) > 1:
        assert list_in_text(str(tuple(names))) == meant


@given(st.lists(st.text("abc '\"\\,é", min_size=1, max_size=30), min_size=1, max_size=9))
def test_a_printed_numpy_array_is_read_as_the_list(names: list[str]) -> None:
    assert list_in_text(str(np.array(names, dtype=object))) == [name.strip() for name in names if name.strip()]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[A, B c]", ["A", "B c"]),
        ('{A,"B, c"}', ["A", "B, c"]),
        (r'{A,"B\",c"}', ["A", 'B",c']),  # as PostgreSQL escapes a quote
        (r'{A,"B \\ c"}', ["A", "B \\ c"]),
        ("[['A', 'B'], ['C']]", ["A", "B"]),
        ('["A", null, 3]', ["A", "3"]),
        ("{}", []),
        ("(Men) | Shoes", None),
        ("Shoes", None),
    ],
)
def test_lists_of_other_printers_and_texts_that_are_none(text: str, meant: list[str] | None) -> None:
    assert list_in_text(text) == meant


def test_categories_of_any_writing_are_lists() -> None:
    changes: Counter[str] = Counter()
    column = pl.Series("categories", ["A | B", "['A', 'B']", "[]", "nan", None, "", "['A' 'B", "<b>A</b>|None|B"])
    lists, wrong = name_lists(column, "|", changes)
    assert lists.to_list() == [["A", "B"], ["A", "B"], [], [], None, [], ["['A' 'B"], ["A", "B"]]
    assert wrong.null_count() == len(column)
    assert changes == {"lists_in_text": 2, "missing_words": 2, "html": 1}
    lists, wrong = name_lists(pl.Series("categories", ["A", "['A' ... 'B']", '{"a": 1}']), "|", changes)
    assert [text is not None for text in wrong] == [False, True, True]
    assert "categories is ['A' ... 'B']: a list in text that cannot be read" in wrong[1]


def test_lists_of_lists_give_the_first_path_and_texts_of_lists_are_joined() -> None:
    nested = pl.Series("categories", [[["A", "B"], ["C"]], [], None])
    assert name_lists(nested, "|", Counter())[0].to_list() == [["A", "B"], None, None]
    assert text_column(pl.Series("t", [["a", None, "b"], []]), Counter()).to_list() == ["a b", ""]


@pytest.mark.parametrize(
    "text", ["Calligraphy <Script> Font Stamp", "Arrow <!-- left", "<style> of the year", "A <!doctype of lace"]
)
def test_what_looks_like_markup_without_an_end_takes_nothing_with_it(text: str) -> None:
    changes: Counter[str] = Counter()
    assert cleaned(text, changes) == text
    assert not changes


def test_of_several_paths_the_first_that_names_something_is_taken() -> None:
    paths = pl.Series("c", [[[], ["a", "b"]], [["c"], ["d"]], [[]], None])
    lists, _ = name_lists(paths, "|", Counter())
    assert lists.to_list() == [["a", "b"], ["c"], None, None]
    printed = [
        "[[], ['a', 'b']]",
        "[['c'], ['d']]",
        "[[]]",
        "[['Toys [1]'], ['A']]",
        "[['Toys', 'Dolls [New]'], [\"B's\"]]",
    ]
    lists, wrong = name_lists(pl.Series("c", printed), "|", Counter())
    assert lists.to_list() == [["a", "b"], ["c"], [], ["Toys [1]"], ["Toys", "Dolls [New]"]]
    assert not wrong.drop_nulls().len()
    assert list_in_text('[[], "Toys"]') == []
