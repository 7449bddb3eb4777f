"""Reviews in JSON lines, field by field by the names of a layout, to checked rows: a text of many lines at a time."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import polars as pl

from genrec.data import reading
from genrec.data.identifiers import MISSING_WORDS, of_texts
from genrec.data.quarantine import check_interactions, typed_values
from genrec.data.shards import ROW_TYPES, BadRow, Batch
from genrec.data.typed_lines import Text, rows_of
from genrec.errors import DamagedFile

RATINGS = (0.0, 5.0)
BATCH_BYTES = 16 << 20  # of lines that are checked together
_ITEMS = ("item", "other_item")  # fields of a decoded review: as many as a layout has names
_TYPES: dict[str, pl.DataType] = {
    **ROW_TYPES["interactions"],
    "timestamp": pl.Float64(),
    "rating": pl.Float64(),
    "verified": pl.Boolean(),
    "wrong": pl.String(),
}


@dataclass(frozen=True)
class Layout:
    """Names of the fields. Where several are given, the first one that is filled counts."""

    user: str
    items: tuple[str, ...]
    rating: str
    timestamp: str
    milliseconds: int  # in one unit of `timestamp`
    verified: str
    descriptions: tuple[str, ...]  # joined
    brands: tuple[str, ...]
    categories: tuple[str, ...]


def batches(layout: Layout, lines_of: reading.LineReader) -> Iterator[Batch]:
    """The reviews of a file, about BATCH_BYTES of lines a batch."""
    held, bad = _Held(), list[BadRow]()
    try:
        for text in lines_of.texts():
            rows = rows_of(text, _decoder(layout))
            bad += held.add_records(layout, text) if rows is None else held.add_rows(layout, text, rows)
            if held.num_bytes >= BATCH_BYTES:
                yield _batch(layout, held, bad, lines_of)
                held, bad = _Held(), []
    except DamagedFile:
        yield _batch(layout, held, bad, lines_of)  # what comes before the damage
        raise
    if held.num_bytes:
        yield _batch(layout, held, bad, lines_of)


@cache
def _decoder(layout: Layout) -> Any:
    """Of rows with the fields of a review that are read, under names of their own."""
    items = dict(zip(_ITEMS, layout.items, strict=False))
    names = {"user": layout.user, **items, "timestamp": layout.timestamp, "event": "event"}
    names |= {"rating": layout.rating, "verified": layout.verified}
    types = {"timestamp": float, "rating": float, "verified": bool}
    fields = [(name, types.get(name, str) | None, None) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("Review", fields, rename=names, gc=False))


class _Held:
    """Typed values by column, and the texts that they are from."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in _TYPES}
        self.num_bytes = 0
        self._texts: list[Text] = []

    def add_rows(self, layout: Layout, text: Text, rows: list[Any]) -> list[BadRow]:
        """A text that was decoded: a row a line."""
        items = [row.item for row in rows]
        if len(layout.items) > 1 and not all(items):
            items = [row.item or row.other_item for row in rows]
        self._add(
            text,
            range(text.first_line, text.first_line + len(rows)),
            [row.user for row in rows],
            items,
            [row.timestamp for row in rows],
            [row.event for row in rows],
            [row.rating for row in rows],
            [row.verified for row in rows],
            [None] * len(rows),
        )
        return []

    def add_records(self, layout: Layout, text: Text) -> list[BadRow]:
        """A text line by line: the same values. Returns the lines that are no objects."""
        places, records, bad = reading.parse_json_lines(text.first_line, text.lines())
        wrong: dict[int, str] = {}
        number, words = (int, float), (str,)
        self._add(
            text,
            [text.first_line + place for place in places],
            typed_values("user_id", [r.get(layout.user) for r in records], words, wrong),
            typed_values("item_id", first_filled(records, layout.items), words, wrong),
            _floats(typed_values("timestamp", [r.get(layout.timestamp) for r in records], number, wrong)),
            typed_values("event", [r.get("event") for r in records], words, wrong),
            _floats(typed_values("rating", [r.get(layout.rating) for r in records], number, wrong)),
            typed_values("verified", [r.get(layout.verified) for r in records], (bool,), wrong),
            [wrong.get(row) for row in range(len(records))],
        )
        return bad

    def _add(self, text: Text, *columns: Any) -> None:
        for values, more in zip(self.columns.values(), columns, strict=True):
            values.extend(more)
        self._texts.append(text)
        self.num_bytes += len(text.data)

    def frame(self) -> pl.DataFrame:
        return pl.DataFrame(self.columns, schema=_TYPES)

    def line(self, number: int) -> bytes:
        """The line of that number in the file."""
        text = self._texts[bisect_right(self._texts, number, key=lambda text: text.first_line) - 1]
        return text.line(number - text.first_line)


def _batch(layout: Layout, held: _Held, bad: list[BadRow], lines_of: reading.LineReader) -> Batch:
    frame = held.frame()
    user, item = of_texts(frame["user_id"]), of_texts(frame["item_id"])
    implied = pl.when(pl.col("verified")).then(pl.lit("purchase")).otherwise(pl.lit("review"))
    frame = frame.with_columns(
        user.values,
        item.values,
        pl.coalesce(user.refused, item.refused).alias("refused"),
        pl.col("timestamp") * layout.milliseconds,
        implied.alias("event") if frame["event"].is_null().all() else _named_or(implied),
    )
    rows, also_bad = check_interactions(
        frame, lambda row: reading.shown(held.line(frame["line"][row])), positions=False, rating_bounds=RATINGS
    )
    changes = Counter(user.changes) + Counter(item.changes)
    return Batch(rows, bad + also_bad, lines_of.num_lines, lines_of.share(), changes)


def _named_or(implied: pl.Expr) -> pl.Expr:
    """The type of event that a row names, or the implied one."""
    named = pl.col("event").str.strip_chars()
    named = pl.when(~named.is_in(MISSING_WORDS)).then(named.str.to_lowercase())
    return pl.when(named.fill_null("") != "").then(named).otherwise(implied).alias("event")


def _floats(values: Sequence[Any]) -> list[float | None]:
    return [None if value is None else float(value) for value in values]


def first_filled(records: list[dict], names: tuple[str, ...]) -> list[Any]:
    """Of each record the value of the first field that is filled."""
    values = [r.get(names[0]) for r in records]
    for name in names[1:]:
        if all(values):
            break
        values = [v or r.get(name) for v, r in zip(values, records, strict=True)]
    return values
