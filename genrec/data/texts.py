"""Texts of items as a reader would write them: no HTML, no page script, no word for a missing value, no printed list.

HTML is parsed by selectolax (the Lexbor engine), and only where a `<` or `&` occurs.
"""

import ast
import html
import json
import re
from collections import Counter
from typing import Any

import polars as pl
from selectolax.lexbor import LexborHTMLParser

from genrec.data.identifiers import MISSING_WORDS
from genrec.data.quarantine import clip

_WORDS = frozenset(MISSING_WORDS)

# https://html.spec.whatwg.org/multipage/indices.html#elements-3, and the obsolete ones that shops still write.
_ELEMENTS = (
    "a abbr acronym address applet area article aside audio b base basefont bdi bdo big blockquote body br button canvas "
    "caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset "
    "figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input "
    "ins kbd label legend li link main map mark menu meta meter nav nobr noframes noscript object ol optgroup option "
    "output p param picture pre progress q rp rt ruby s samp search section select slot small source span strike "
    "strong sub summary sup svg table tbody td textarea tfoot th thead time title tr track tt u ul var "
    "video wbr"
)
_NAMES = _ELEMENTS.replace(" ", "|")
# A tag of a known element, whole or cut off at the end of the text within its attributes; a doctype.
_TAG = rf"/?(?:{_NAMES})(?:\s[^<>]*|/)?>|(?:{_NAMES})\s+[\w-]+=[^<>]*$|!doctype\b[^<>]*>"
# What stands inside of these is no text of the page.
_UNSEEN = r"(?P<unseen>!--|(?:script|style)(?:\s[^<>]*|/)?>)|/(?:script|style)\s*>"
_ENDS = {
    begin: re.compile(end, re.IGNORECASE)  # of each, by its beginning
    for begin, end in (("<!--", "-->"), ("<scri", "</script"), ("<styl", "</style"))
}
# A parser drops what stands inside of these.
_UNWRAPPED = r"(?P<unwrapped>/?(?:template|frameset|frame)(?:\s[^<>]*|/)?>)"
_MARKUP = re.compile(rf"<(?:{_UNSEEN}|{_UNWRAPPED}|{_TAG})", re.IGNORECASE)
_PAGE_SCRIPT = re.compile(
    r"\(new Date(?:\(\))?\)\.getTime\(\)|\bvar\s+\w+\s*=[^;]*;.*(?:\bfunction\s*\(|\bwindow\b|\bdocument\.)", re.DOTALL
)

_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_ONE_QUOTED = re.compile(_QUOTED, re.DOTALL)
_QUOTED_LIST = re.compile(rf"[\[({{]\s*(?:{_QUOTED}(?:[\s,]+{_QUOTED})*)?[\s,]*[\])}}]", re.DOTALL)
_INNER_LIST = re.compile(rf"\[\s*(?:{_QUOTED}(?:[\s,]+{_QUOTED})*)?[\s,]*\]", re.DOTALL)
_BARE_LIST = re.compile(r"[\[{]([^\[\]{}'\"]*)[\]}]")
# Text of an array of PostgreSQL (manual, section 8.15.6): quotes where a name needs them, backslashes before " and \\.
_POSTGRES_NAME = r'\s*(?:"(?:[^"\\]|\\.)*"|[^{}"\\,]*)\s*'
_POSTGRES = re.compile(rf"{{{_POSTGRES_NAME}(?:,{_POSTGRES_NAME})*}}", re.DOTALL)
_POSTGRES_NAMES = re.compile(r'"((?:[^"\\]|\\.)*)"|([^{}"\\,]+)', re.DOTALL)
_BRACKETS = {"[": "]", "(": ")", "{": "}"}


def cleaned(text: str, changes: Counter[str]) -> str:
    """A text without what is no text; `changes` counts `missing_words`, `lists_in_text`, `html` and `page_scripts`."""
    if text.strip() in _WORDS:
        changes["missing_words"] += 1
        return ""
    # `()` and `{}` may be meant in a text; in a column of lists they are empty lists.
    if text.lstrip()[:1] in _BRACKETS and (names := quoted_list(text)) is not None and (names or "[" in text):
        changes["lists_in_text"] += 1
        text = " ".join(names)
    plain = html.unescape(text) if "&" in text else text
    if "<" in plain and _MARKUP.search(plain):
        plain = _without_tags(plain)
    if plain != text:
        changes["html"] += 1
        text = plain
    if ("var " in text or "getTime" in text) and _PAGE_SCRIPT.search(text):
        changes["page_scripts"] += 1
        return ""
    return text


def _without_tags(text: str) -> str:
    """The text of an HTML fragment; a `<` that begins no tag of HTML stays, and so does what would take all that follows."""
    kept, place = [], 0
    last = {begin: max((m.start() for m in end.finditer(text)), default=-1) for begin, end in _ENDS.items()}
    for tag in _MARKUP.finditer(text):
        if tag.group("unseen") and last[next(b for b in _ENDS if tag.group().lower().startswith(b))] < tag.start():
            continue
        kept += [text[place : tag.start()].replace("<", "&lt;"), " " if tag.group("unwrapped") else tag.group()]
        place = tag.end()
    if not kept:
        return text
    tree = LexborHTMLParser("".join([*kept, text[place:].replace("<", "&lt;")]))
    tree.strip_tags(["script", "style"])
    return " ".join(tree.text(separator=" ").split())


def list_in_text(text: str) -> list[str] | None:
    """The names of a list that was printed as text: by Python, JSON, numpy (no commas) or PostgreSQL (braces).

    None where the text is no list. Raises ValueError where it is one that cannot be read.
    """
    if text[:1] not in ("[", "{", "("):
        return None
    if (names := quoted_list(text)) is not None:
        return names
    if text[0] == "(" or not text.endswith(_BRACKETS[text[0]]):
        return None
    if bare := _BARE_LIST.fullmatch(text):
        return _names(bare.group(1).split(","))
    if _POSTGRES.fullmatch(text):
        return _names([re.sub(r"\\(.)", r"\1", quoted) or bare for quoted, bare in _POSTGRES_NAMES.findall(text)])
    raise ValueError("a list in text that cannot be read; write a list column, or names with a delimiter between")


def quoted_list(text: str) -> list[str] | None:
    """The texts of a list of quoted texts that was printed; None where the text is none."""
    text = text.strip()
    if text[:1] not in _BRACKETS or not text.endswith(_BRACKETS[text[0]]):
        return None
    if text[0] == "[":
        plain = '"' not in text and "\\" not in text  # Python's quotes can be JSON's then
        for written in (text, text.replace("'", '"')) if plain else (text,):
            try:
                return _names(json.loads(written))
            except (ValueError, RecursionError):
                continue
        if text.startswith("[["):
            paths = (quoted_list(path) for path in _paths(text))
            return next((path for path in paths if path), None)  # several paths: the first one that names something
    if not _QUOTED_LIST.fullmatch(text):
        return None
    try:
        return _names([ast.literal_eval(quoted) for quoted in _ONE_QUOTED.findall(text)])
    except (ValueError, SyntaxError):
        return None


def _paths(text: str) -> list[str]:
    """The inner lists of a list of lists that was printed; none where something else stands between them."""
    found = [*_INNER_LIST.finditer(text, 1, len(text) - 1)]
    between = _INNER_LIST.sub("", text[1:-1])
    return [] if between.strip(", \t\r\n") else [path.group() for path in found]


def _names(values: Any) -> list[str]:
    if values and isinstance(values[0], list):
        values = next((path for path in values if path and isinstance(path, list)), [])
    return [text for v in values if v is not None and (text := str(v).strip())]


def as_text(column: pl.Series, kind: pl.DataType | type[pl.DataType] = pl.String) -> pl.Series:
    """The column as text, or as lists of texts. Raises TypeError for records, which have no one text."""
    inner = column.dtype
    while isinstance(inner, pl.List | pl.Array):
        inner = inner.inner  # type: ignore[assignment]
    if isinstance(inner, pl.Struct | pl.Object):
        raise TypeError("records are no text")
    return column.cast(kind)


def text_column(column: pl.Series, changes: Counter[str]) -> pl.Series:
    """A column of texts, cleaned; lists of texts are joined, other values become text."""
    if isinstance(column.dtype, pl.List | pl.Array):
        column = as_text(column, pl.List(pl.String)).list.drop_nulls().list.join(" ")
    column = as_text(column)
    places = _odd(column).arg_true()
    if not len(places):
        return column
    return column.scatter(places, [cleaned(text, changes) for text in column.gather(places)])


def name_lists(column: pl.Series, delimiter: str, changes: Counter[str]) -> tuple[pl.Series, pl.Series]:
    """A column of category names, general to specific, as lists, and where one cannot be read, what stands there.

    column: lists, or texts with a delimiter between the names, or lists that were printed as text.
    """
    nothing = pl.Series("wrong", [None], dtype=pl.String).new_from_index(0, len(column))
    if isinstance(column.dtype, pl.List | pl.Array):
        if isinstance(column.dtype.inner, pl.List | pl.Array):
            filled = pl.element().filter(pl.element().list.len() > 0)
            column = as_text(column, pl.List(pl.List(pl.String))).list.eval(filled).list.first()  # of several paths
        return _clean_lists(as_text(column, pl.List(pl.String)), changes), nothing
    text = as_text(column).str.strip_chars()
    lists = text.str.split(delimiter)
    places = text.str.contains(r"^[\[({]").fill_null(False).arg_true().to_list()
    if not places:
        return _clean_lists(lists, changes), nothing
    values: list[list[str]] = lists.to_list()
    wrong: list[str | None] = [None] * len(text)
    for place in places:
        try:
            names = list_in_text(text[place])
        except ValueError as error:
            wrong[place] = f"{column.name} is {clip(text[place], 80)}: {error}"
            continue
        if names is not None:
            changes["lists_in_text"] += 1
            values[place] = names
    lists = pl.Series(column.name, values, dtype=pl.List(pl.String))
    return _clean_lists(lists, changes), pl.Series("wrong", wrong, dtype=pl.String)


def _clean_lists(lists: pl.Series, changes: Counter[str]) -> pl.Series:
    """Every name cleaned; without those that are empty."""
    stripped = lists.list.eval(pl.element().str.strip_chars())
    odd = stripped.list.eval(_odd(pl.element())).list.any().fill_null(False).arg_true().to_list()
    if odd:
        values = stripped.to_list()
        for place in odd:
            values[place] = [cleaned(name, changes) for name in values[place] if name is not None]
        stripped = pl.Series(lists.name, values, dtype=pl.List(pl.String))
    return stripped.list.eval(pl.element().filter(pl.element().is_not_null() & (pl.element() != "")))


_ODD = r"[<&]|^\s*[\[({]|getTime|var |^\s*(?:" + "|".join(map(re.escape, MISSING_WORDS)) + r")\s*$"


def _odd(texts: Any) -> Any:
    """Where `cleaned` has something to look at (of a series or an expression)."""
    return texts.str.contains(_ODD).fill_null(False)
