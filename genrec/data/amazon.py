"""The JSON-lines layouts of the Amazon review sets (reviews and item metadata), by field name.

Layouts: https://nijianmo.github.io/amazon (2018) and https://amazon-reviews-2023.github.io (2023).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from genrec.data import places, reading
from genrec.data.damage import checked
from genrec.data.identifiers import MISSING_WORDS, of_texts
from genrec.data.quarantine import (
    MAX_DETAIL_CHARS,
    check_interactions,
    check_items,
    clip,
    typed_column,
    wrong_column,
)
from genrec.data.shards import ROW_TYPES, BadRow, Batch, Shard, SourceFile, empty_rows
from genrec.data.texts import cleaned, quoted_list
from genrec.data.typed_lines import Text, rows_of
from genrec.errors import DataError

ENDINGS = tuple(name + packed for name in (".jsonl", ".json", ".ndjson") for packed in ("", ".gz", ".zst"))
METADATA_PREFIX = "meta_"
RATINGS = (0.0, 5.0)
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


# ---- files ------------------------------------------------------------------------------------------------------------


def find_files(path: Path | None, reviews: tuple[str, ...], metadata: tuple[str, ...]) -> list[SourceFile]:
    """The review and metadata files: those named, else all of a folder or pattern, else one file and its `meta_` twin.

    One that holds no JSON lines has a `damage` that says what it is. Raises DataError that lists what is there when no
    review file is.
    """
    files = _files(path, reviews, metadata)
    return [checked(file, partial(reading.check_json_lines, file.path, file.name)) for file in files]


def _files(path: Path | None, reviews: tuple[str, ...], metadata: tuple[str, ...]) -> list[SourceFile]:
    if path is None:
        raise DataError("data.path: this source needs the folder that holds the review files; set data.path")
    if path.is_file() and not (reviews or metadata):
        twin = path.with_name(METADATA_PREFIX + path.name)
        twins = [SourceFile("items", twin, twin.name)] if twin.is_file() else []
        return [SourceFile("interactions", path, path.name), *twins]
    if places.is_pattern(path):
        path, names = places.matching(path)
    elif path.is_dir():
        names = sorted(p.name for p in path.iterdir() if p.is_file())
    else:
        parent = path.parent
        there = listing(parent) if parent.is_dir() else "its parent folder does not exist either"
        raise DataError(f"data.path: no folder or file {path}; beside it: {there}")
    present = [name for name in names if name.lower().endswith(ENDINGS)]
    metadata = metadata or tuple(name for name in present if is_metadata(name))
    reviews = reviews or tuple(name for name in present if not is_metadata(name))
    for name in [*reviews, *metadata]:
        if not (path / name).is_file():
            raise DataError(f"data.options: no file {name} in {path}; it holds {listing(path)}")
    if not reviews:
        raise DataError(
            f"data.path: no review file ({', '.join(ENDINGS[:3])}) in {path}; it holds {listing(path)}. "
            "Put the reviews there or name them in data.options.reviews"
        )
    return [
        *(SourceFile("interactions", path / name, name) for name in reviews),
        *(SourceFile("items", path / name, name) for name in metadata),
    ]


def is_metadata(name: str) -> bool:
    return name.rpartition("/")[2].startswith(METADATA_PREFIX)


def left_out(path: Path | None, reviews: tuple[str, ...], metadata: tuple[str, ...]) -> dict[str, str]:
    """Files of a folder that `find_files` does not take, and why; hidden ones are not meant as data."""
    if path is None or not path.is_dir():
        return {}
    taken = {file.name for file in _files(path, reviews, metadata)}
    reasons = {}
    for name in sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith((".", "_"))):
        if name not in taken:
            named = name.lower().endswith(ENDINGS)
            kind = "metadata" if name.startswith(METADATA_PREFIX) else "reviews"
            reasons[name] = (
                f"data.options.{kind} names other files" if named else f"its name ends in none of {', '.join(ENDINGS)}"
            )
    return reasons


def listing(folder: Path, limit: int = 8) -> str:
    """The names in a folder, for a message."""
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in folder.iterdir())
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "nothing"


# ---- rows -------------------------------------------------------------------------------------------------------------


def read_shard(shard: Shard, layout: Layout) -> Iterator[Batch]:
    """The batches of a review or metadata shard."""
    lines_of = reading.LineReader(shard.path, shard.name, shard.start, shard.end)
    for text in lines_of.texts():
        if shard.kind == "interactions":
            rows, bad, changes = _interactions(layout, text)
        else:
            lines = text.lines()
            places, records, no_json = reading.parse_json_lines(text.first_line, lines)
            rows, bad, changes = item_rows(layout, text.first_line, lines, places, records)
            bad = no_json + bad
        yield Batch(rows, bad, lines_of.num_lines, lines_of.share(), changes)
    cut = [reading.cut_row(lines_of.cut)] if lines_of.cut else []
    yield Batch(empty_rows(shard.kind), cut, lines_of.num_lines, 1.0, lines_of.changes)


def _interactions(layout: Layout, text: Text) -> tuple[pl.DataFrame, list[BadRow], Counter[str]]:
    """A block of reviews, decoded at once or, where one of them is unusual, line by line: the same rows."""
    rows = rows_of(text, _decoder(layout))
    if rows is not None:
        columns = {
            "line": pl.int_range(text.first_line, text.first_line + text.num_lines, eager=True),
            "user_id": [row.user for row in rows],
            "item_id": _first_filled(*([getattr(row, name) for row in rows] for name in _ITEMS[: len(layout.items)])),
            "timestamp": [row.timestamp for row in rows],
            "event": [row.event for row in rows],
            "rating": [row.rating for row in rows],
            "verified": [row.verified for row in rows],
            "wrong": wrong_column(len(rows), {}),
        }
        return _checked(layout, pl.DataFrame(columns, schema=_TYPES), text.line)
    lines, wrong = text.lines(), dict[int, str]()
    places, records, bad = reading.parse_json_lines(text.first_line, lines)
    number = pl.Float64()
    frame = pl.DataFrame(
        [
            pl.Series("line", places, dtype=pl.Int64) + text.first_line,
            typed_column("user_id", [r.get(layout.user) for r in records], (str,), pl.String(), wrong),
            typed_column("item_id", _values(records, layout.items), (str,), pl.String(), wrong),
            typed_column("timestamp", [r.get(layout.timestamp) for r in records], (int, float), number, wrong),
            typed_column("event", [r.get("event") for r in records], (str,), pl.String(), wrong),
            typed_column("rating", [r.get(layout.rating) for r in records], (int, float), number, wrong),
            typed_column("verified", [r.get(layout.verified) for r in records], (bool,), pl.Boolean(), wrong),
            wrong_column(len(records), wrong),
        ]
    )
    good, also_bad, changes = _checked(layout, frame, lambda row: lines[places[row]])
    return good, bad + also_bad, changes


@cache
def _decoder(layout: Layout) -> Any:
    """Of rows with the fields of a review that are read, under names of their own."""
    items = dict(zip(_ITEMS, layout.items, strict=False))
    names = {"user": layout.user, **items, "timestamp": layout.timestamp, "event": "event"}
    names |= {"rating": layout.rating, "verified": layout.verified}
    types = {"timestamp": float, "rating": float, "verified": bool}
    fields = [(name, types.get(name, str) | None, None) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("Review", fields, rename=names, gc=False))


def _checked(
    layout: Layout, frame: pl.DataFrame, line_of: Callable[[int], bytes]
) -> tuple[pl.DataFrame, list[BadRow], Counter[str]]:
    """The good and the bad of typed rows; line_of: the line of a row of the frame."""
    user, item = of_texts(frame["user_id"]), of_texts(frame["item_id"])
    named = pl.col("event").str.strip_chars()
    named = pl.when(~named.is_in(MISSING_WORDS)).then(named.str.to_lowercase())
    implied = pl.when(pl.col("verified")).then(pl.lit("purchase")).otherwise(pl.lit("review"))
    frame = frame.with_columns(
        user.values.alias("user_id"),
        item.values.alias("item_id"),
        pl.coalesce(user.refused, item.refused).alias("refused"),
        pl.col("timestamp") * layout.milliseconds,
        pl.when(named.fill_null("") != "").then(named).otherwise(implied).alias("event"),
    )
    rows, bad = check_interactions(
        frame, lambda row: reading.shown(line_of(row)), positions=False, rating_bounds=RATINGS
    )
    return rows, bad, Counter(user.changes) + Counter(item.changes)


def item_rows(
    layout: Layout, first_line: int, lines: list[bytes], places: list[int], records: list[dict]
) -> tuple[pl.DataFrame, list[BadRow], Counter[str]]:
    wrong: dict[int, str] = {}
    text = (str,)
    for row, record in enumerate(records):
        for name in (*layout.descriptions, *layout.categories):
            if not isinstance(record.get(name), str | list | None):
                wrong.setdefault(row, f"{name} is {clip(repr(record[name]), MAX_DETAIL_CHARS)}")
    changes: Counter[str] = Counter()
    item = of_texts(typed_column("item_id", _values(records, layout.items), text, pl.String(), wrong))
    titles = [_text(r.get("title"), changes) for r in records]
    brands = [_text(v, changes) for v in _values(records, layout.brands)]
    frame = pl.DataFrame(
        [
            pl.Series("line", places, dtype=pl.Int64) + first_line,
            item.values,
            typed_column("title", titles, text, pl.String(), wrong),
            pl.Series("description", [_joined(r, layout.descriptions, changes) for r in records], dtype=pl.String),
            typed_column("brand", brands, text, pl.String(), wrong),
            pl.Series(
                "categories",
                [_names(v, changes) for v in _values(records, layout.categories)],
                dtype=pl.List(pl.String),
            ),
            wrong_column(len(records), wrong),
            item.refused,
        ]
    )
    rows, bad = check_items(frame, lambda row: reading.shown(lines[places[row]]))
    return rows, bad, changes + Counter(item.changes)


def _values(records: list[dict], names: tuple[str, ...]) -> list[Any]:
    """Of each record the first field that is filled."""
    return _first_filled(*([r.get(name) for r in records] for name in names))


def _first_filled(values: list[Any], *others: list[Any]) -> list[Any]:
    for other in others:
        if all(values):
            break
        values = [v or o for v, o in zip(values, other, strict=True)]
    return values


def _text(value: Any, changes: Counter[str]) -> Any:
    """A text, or a list of texts joined, cleaned, with runs of blanks as one; other types as they are."""
    if isinstance(value, list):
        value = " ".join(v for v in value if isinstance(v, str))
    if not isinstance(value, str):
        return value if value is not None else ""
    return " ".join(cleaned(value, changes).split())


def _joined(record: dict, names: tuple[str, ...], changes: Counter[str]) -> str:
    parts = [_text(record.get(name), changes) for name in names]
    return " ".join(part for part in parts if isinstance(part, str) and part)


def _names(value: Any, changes: Counter[str]) -> list[str]:
    """Category names, general to specific; a list of lists (several paths) gives the first path."""
    if isinstance(value, str):
        names = quoted_list(value)
        changes["lists_in_text"] += names is not None
        value = [value] if names is None else names
    if not isinstance(value, list):
        return []
    if value and isinstance(value[0], list):
        value = value[0]
    return [name for v in value if isinstance(v, str) and (name := _text(v, changes))]
