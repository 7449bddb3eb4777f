"""Random tables, and random ways in which people write them to files; the table itself says what must be read.

`shops()` draws a `Shop`: events and items as they are meant, the files that hold them, and what is known to be wrong there.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.support.table_writers import (
    BAD_JSON,
    BAD_QUOTES,
    CSV_WRITERS,
    list_in_text,
    write_csv,
    write_json_lines,
    write_parquet,
)

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
    wrong: set[int] = field(default_factory=set)  # lines that must be set aside
    unit: str = ""  # of the times
    read: bool = True  # whether its name says that it belongs to the table


class Cuts(NamedTuple):
    """How the files are cut: most bytes and rows of a shard, and bytes of a block."""

    max_bytes: int
    max_rows: int
    block_bytes: int


@dataclass
class Shop:
    """Files in a folder, the config to read them with, and how times are meant."""

    source: str
    files: list[File]
    options: dict[str, Any]
    honest: bool  # a refusal would be wrong
    cuts: Cuts

    @property
    def mixed(self) -> bool:
        """Whether the times of two files count different units, so that nothing may be read."""
        sound = [file for file in self.files if file.kind == "interactions" and file.read and not file.touched]
        return len({file.unit for file in sound if file.rows}) > 1


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
    events = _with_repeats(draw, draw(st.lists(event, min_size=num_events, max_size=num_events)))
    described = _with_repeats(draw, [(item, draw(TEXTS), draw(TEXTS), draw(TEXTS), draw(NAMES)) for item in items])
    if draw(st.integers(0, 3)) == 0 and not position:
        return _amazon(draw, folder, events, described)
    return _table(draw, folder, events, described, numeric, position, grain)


def _with_repeats(draw: Any, rows: list[tuple]) -> list[tuple]:
    """With some rows a second time, further down: they are set aside, wherever their files are cut."""
    return rows + draw(st.lists(st.sampled_from(rows), max_size=draw(st.sampled_from([0, 0, 4]))))


def _cuts(draw: Any, folder: Path, files: list[File]) -> Cuts:
    """Sizes for which the files are one shard each, or many; some end where a line does."""
    first_line = (folder / files[0].name).read_bytes().find(b"\n") + 1
    max_bytes = draw(st.sampled_from([150, 700, max(60, first_line), 256 << 20]))
    return Cuts(max_bytes, draw(st.sampled_from([1, 7, 4_000_000])), draw(st.sampled_from([64, 500, 4 << 20])))


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
        {"parent_asin": i, "title": t[0], "description": [d[0]], "store": b[0], "categories": draw(_printed(c))}
        for i, t, d, b, c in items
    ]
    files = []
    for kind, name, rows, meant in (
        ("interactions", "a" + ending, reviews, list(map(_meant_event, events))),
        ("items", "meta_a" + ending, metadata, [_meant_item(row, True) for row in items]),
    ):
        cut = draw(st.integers(0, 5)) == 0
        bad = set() if cut else draw(st.sets(st.integers(2, len(rows) + 2), max_size=2))
        written: list[dict | bytes] = list(rows)
        for line in sorted(bad):
            written.insert(line - 1, draw(st.sampled_from(BAD_JSON)))
        bad = {n for n, row in enumerate(written, 1) if isinstance(row, bytes)}
        touched = write_json_lines(folder / name, written, zipped, draw(st.integers(0, 60)) if cut else None)
        lines = [(n, n) for n in range(1, len(written) + 1) if n not in bad]
        files.append(File(kind, name, meant, lines, not cut, touched, bad))
    return Shop("amazon2023", files, {}, all(file.honest for file in files), _cuts(draw, folder, files))


def _printed(names: list[str]) -> st.SearchStrategy[Any]:
    """A list of names as a list, or as people print it."""
    return st.sampled_from([names, *list_in_text(names)[:4]] if names else [names, "", "[]", "nan"])


_BESIDE = ("-1", "-2", "_3", ".4", "/x", "/day=5/0", "_old", "-neu")
_BELOW = ("/0", "/day=5/0", "/day=6/0", "/a/b/part-0", "/year=2024/month=1/x")
_NOT_READ = "_old"


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
        below = draw(st.booleans())  # all files in folders of the kind, or the others beside the first
        others = draw(st.permutations(_BELOW if below else _BESIDE))
        suffixes = others if below else ["", *others]
        for suffix, start, end in zip(suffixes, bounds, bounds[1:], strict=False):
            part = rows[start:end]
            parquet = draw(st.booleans())
            own_unit = unit if draw(st.integers(0, 5)) else draw(st.sampled_from(units))
            honest &= own_unit == unit or kind == "items"
            if kind == "items":
                part = [(i, t[0], d[0], b[0], c) for i, t, d, b, c in part]
            ending = ".parquet" if parquet else draw(st.sampled_from([".csv", ".csv.gz", ".CSV"]))
            name = kind + suffix + ending
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if parquet:
                write_parquet(draw, path, columns, part, own_unit, numeric)
                lines, touched, wrong = [(n, n) for n in range(1, len(part) + 1)], set[int](), set[int]()
            else:
                writer = draw(st.sampled_from(CSV_WRITERS))
                harm = draw(st.sampled_from([None, None, None, "quote", "byte", "field", *BAD_QUOTES]))
                lines, touched, wrong = write_csv(
                    draw, path, columns, part, own_unit, numeric, writer, delimiter, encoding, harm
                )
                honest &= told or (delimiter, encoding) in ((",", "utf-8"), (",", "utf-8-sig"))
            read = suffix != _NOT_READ
            files.append(File(kind, name, meant[start:end], lines, not touched, touched, wrong, own_unit, read))
    return Shop("table", files, options, honest and all(file.honest for file in files), _cuts(draw, folder, files))
