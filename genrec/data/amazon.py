"""The JSON-lines layouts of the Amazon review sets (reviews and item metadata), by field name.

Layouts: https://nijianmo.github.io/amazon (2018) and https://amazon-reviews-2023.github.io (2023).
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data import places, reading
from genrec.data.damage import checked
from genrec.data.identifiers import of_texts
from genrec.data.quarantine import MAX_DETAIL_CHARS, check_items, clip, text_values, wrong_column
from genrec.data.reviews import Layout, batches, first_filled
from genrec.data.shards import BadRow, Batch, Shard, SourceFile, empty_rows
from genrec.data.texts import cleaned, quoted_list
from genrec.errors import DataError

ENDINGS = tuple(name + packed for name in (".jsonl", ".json", ".ndjson") for packed in ("", ".gz", ".zst"))
METADATA_PREFIX = "meta_"


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
    if shard.kind == "interactions":
        yield from batches(layout, lines_of)
    else:
        for first_line, lines in lines_of:
            places, records, bad = reading.parse_json_lines(first_line, lines)
            rows, also_bad, changes = item_rows(layout, first_line, lines, places, records)
            yield Batch(rows, bad + also_bad, lines_of.num_lines, lines_of.share(), changes)
    cut = [reading.cut_row(lines_of.cut)] if lines_of.cut else []
    yield Batch(empty_rows(shard.kind), cut, lines_of.num_lines, 1.0, lines_of.changes)


def item_rows(
    layout: Layout, first_line: int, lines: list[bytes], places: list[int], records: list[dict]
) -> tuple[pl.DataFrame, list[BadRow], Counter[str]]:
    wrong: dict[int, str] = {}
    for row, record in enumerate(records):
        for name in (*layout.descriptions, *layout.categories):
            if not isinstance(record.get(name), str | list | None):
                wrong.setdefault(row, f"{name} is {clip(repr(record[name]), MAX_DETAIL_CHARS)}")
    changes: Counter[str] = Counter()
    item = of_texts(text_values("item_id", first_filled(records, layout.items), wrong))
    titles = [_text(r.get("title"), changes) for r in records]
    brands = [_text(v, changes) for v in first_filled(records, layout.brands)]
    frame = pl.DataFrame(
        [
            pl.Series("line", places, dtype=pl.Int64) + first_line,
            item.values,
            text_values("title", titles, wrong),
            pl.Series("description", [_joined(r, layout.descriptions, changes) for r in records], dtype=pl.String),
            text_values("brand", brands, wrong),
            pl.Series(
                "categories",
                [_names(v, changes) for v in first_filled(records, layout.categories)],
                dtype=pl.List(pl.String),
            ),
            wrong_column(len(records), wrong),
            item.refused,
        ]
    )
    rows, bad = check_items(frame, lambda row: reading.shown(lines[places[row]]))
    return rows, bad, changes + Counter(item.changes)


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
