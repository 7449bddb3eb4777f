"""Random tables, and random ways in which people write them to files; the table itself says what must be read.

`shops()` draws a `Shop`: events and items as they are meant, the files that hold them, and what is known to be wrong there.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.support.table_writers import CSV_WRITERS, write_csv, write_json_lines, write_parquet

EVENTS = ("user_id", "item_id", "timestamp", "event", "rating")
ITEMS = ("item_id", "title", "description", "brand", "categories")
SECOND = 1000
UNITS_MS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}

_LETTERS = "abcXYZ019 äé本"
_MARKS = ";,|\t'\"\n-_./#=()é"
IDS = st.one_of(
    st.integers(0, 40).map(str),
    st.integers(0, 40).map("{:04}".format),
    st.integers(2**40, 2**40 + 20).map(str),
    st.text("abAB0-_ é\"',;", min_size=1, max_size=5).map(str.strip).filter(bool),
)
NUMBER_IDS = st.integers(0, 60).map(str)
PLAIN = st.text(_LETTERS + _MARKS, max_size=12)
TEXTS = st.one_of(  # as written, and as meant
    PLAIN.map(lambda text: (text, text)),
    PLAIN.map(lambda text: (f'<span id="t">{text}</span>', " ".join(text.split()))),
    st.sampled_from(
        [
            ("A &amp; B", "A & B"),
            ("3 < 5 > 4", "3 < 5 > 4"),
            ("vector<int>", "vector<int>"),
            ("nan", ""),
            ("None", ""),
            ("one<br/>two <!-- no -->", "one two"),
            ("&lt;b&gt;bold&lt;/b&gt;", "bold"),
            ("[Sale] Shoes", "[Sale] Shoes"),
            ("['a', \"b's\"]", "a b's"),
            ("<script>var x = 1;</script>Pen", "Pen"),
        ]
    ),
)
NAMES = st.lists(st.text("abc XYé'\",-/", min_size=1, max_size=6).map(str.strip).filter(bool), max_size=3)


@dataclass
class File:
    """A file of a shop, and what is known of its rows."""

    kind: str
    name: str
    rows: list[tuple]  # as meant, in the order of the file
    lines: list[tuple[int, int]]  # of each row: its first and last line
    honest: bool = True  # nothing about it may be refused
    touched: set[int] = field(default_factory=set)  # lines that were damaged


@dataclass
class Shop:
    """Files in a folder, the config to read them with, and how times are meant."""

    source: str
    files: list[File]
    options: dict[str, Any]
    honest: bool  # a refusal would be wrong


@st.composite
def shops(draw: Any, folder: Path) -> Shop:
    """Write the files of a random shop to `folder`."""
    numeric = draw(st.booleans())  # ids that any writer may make numbers of
    ids = NUMBER_IDS if numeric else IDS
    users, items = draw(st.lists(ids, min_size=1, max_size=6)), draw(st.lists(ids, min_size=1, max_size=6, unique=True))
    position = draw(st.integers(0, 5)) == 0
    grain = draw(st.sampled_from([1, SECOND, 86_400 * SECOND]))  # of times, in milliseconds
    moment = (
        st.integers(0, 500)
        if position
        else st.integers(10**12 // grain, 17 * 10**11 // grain).map(lambda n, grain=grain: n * grain)
    )
    event = st.tuples(
        st.sampled_from(users),
        st.sampled_from(items),
        moment,
        st.sampled_from(["", "click", "Purchase", " view ", "nan"]),
        st.one_of(st.none(), st.integers(0, 10).map(lambda n: n / 2)),
    )
    num_events = draw(st.integers(1, 40))
    events = draw(st.lists(event, min_size=num_events, max_size=num_events))
    described = [(item, draw(TEXTS), draw(TEXTS), draw(TEXTS), draw(NAMES)) for item in items]
    if draw(st.integers(0, 3)) == 0 and not position:
        return _amazon(draw, folder, events, described)
    return _table(draw, folder, events, described, numeric, position, grain)


def _meant_event(row: tuple) -> tuple:
    user, item, time, event, rating = row
    event = event.strip().lower()
    return user, item, time, "purchase" if event in ("", "nan") else event, rating


def _meant_item(row: tuple, collapse: bool) -> tuple:
    item, *texts, names = row
    meant = [" ".join(text[1].split()) if collapse else text[1] for text in texts]
    return (item, *meant, tuple(" ".join(name.split()) if collapse else name for name in names))


def _amazon(draw: Any, folder: Path, events: list[tuple], items: list[tuple]) -> Shop:
    zipped = draw(st.booleans())
    ending = ".jsonl.gz" if zipped else draw(st.sampled_from([".jsonl", ".json", ".ndjson", ".JSONL"]))
    names = ("user_id", "parent_asin", "timestamp", "event", "rating")
    reviews = [dict(zip(names, row, strict=True)) | {"verified_purchase": True} for row in events]
    metadata = [
        {"parent_asin": i, "title": t[0], "description": [d[0]], "store": b[0], "categories": draw(_printed(c, True))}
        for i, t, d, b, c in items
    ]
    files = []
    for kind, name, rows, meant in (
        ("interactions", "a" + ending, reviews, list(map(_meant_event, events))),
        ("items", "meta_a" + ending, metadata, [_meant_item(row, True) for row in items]),
    ):
        cut = draw(st.integers(0, 5)) == 0
        touched = write_json_lines(folder / name, rows, zipped, draw(st.integers(0, 60)) if cut else None)
        lines = [(n, n) for n in range(1, len(rows) + 1)]
        files.append(File(kind, name, meant, lines, not cut, touched))
    return Shop("amazon2023", files, {}, all(file.honest for file in files))


def _printed(names: list[str], as_list: bool) -> st.SearchStrategy[Any]:
    """A list of names as a list (where the format has them), or as people print it."""
    import json

    forms = [str(names), json.dumps(names), str(np.array(names, dtype=str)), str(tuple(names))]
    if not names:
        forms = ["", "[]", "nan"]
    return st.sampled_from([names, *forms] if as_list else forms)


_NAMES_OF_PARTS = ("-1", "-2", "_3", ".4", "/x", "/day=5/0", "_old", "-neu")


def _table(
    draw: Any, folder: Path, events: list[tuple], items: list[tuple], numeric: bool, position: bool, grain: int
) -> Shop:
    delimiter = draw(st.sampled_from([",", ",", ";", "\t", "|"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-8-sig"]))
    told = draw(st.integers(0, 4)) > 0  # whether the config says how CSV files are written
    options = {"delimiter": delimiter, "encoding": encoding} if told else {}
    forms = {1: ["ms", "us", "ns", "iso"], SECOND: ["s", "ms", "us", "ns", "iso"]}
    units = ["position"] if position else forms.get(grain, ["s", "ms", "iso", "compact"])
    unit = draw(st.sampled_from(units))
    files: list[File] = []
    honest = any(row[2] for row in events)  # zeros alone are no times
    for kind, columns, rows, meant in (
        ("interactions", EVENTS, events, list(map(_meant_event, events))),
        ("items", ITEMS, items, [_meant_item(row, False) for row in items]),
    ):
        bounds = sorted({0, len(rows), *draw(st.lists(st.integers(0, len(rows)), max_size=2))})
        suffixes = ["", *draw(st.lists(st.sampled_from(_NAMES_OF_PARTS), min_size=4, max_size=4, unique=True))]
        for suffix, start, end in zip(suffixes, bounds, bounds[1:], strict=False):
            part = rows[start:end]
            parquet = draw(st.booleans())
            own_unit = unit if draw(st.integers(0, 9)) else draw(st.sampled_from(units))
            honest &= own_unit == unit or kind == "items"
            if kind == "items":
                part = [(i, t[0], d[0], b[0], c) for i, t, d, b, c in part]
            ending = ".parquet" if parquet else draw(st.sampled_from([".csv", ".csv.gz", ".CSV"]))
            name = kind + suffix + ending
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if parquet:
                write_parquet(draw, path, columns, part, own_unit, numeric)
                lines, touched = [(n, n) for n in range(1, len(part) + 1)], set[int]()
            else:
                writer = draw(st.sampled_from(CSV_WRITERS))
                harm = draw(st.sampled_from([None, None, None, "quote", "byte", "field"]))
                lines, touched = write_csv(
                    draw, path, columns, part, own_unit, numeric, writer, delimiter, encoding, harm
                )
                honest &= told or (delimiter, encoding) in ((",", "utf-8"), (",", "utf-8-sig"))
            files.append(File(kind, name, meant[start:end], lines, not touched, touched))
    return Shop("table", files, options, honest and all(file.honest for file in files))
