"""The layout that MiniOneRec publishes its data in, with its own split kept row by row (`prepare.split: given`).

    train/<category>*.csv, valid/..., test/...   user_id, history_item_id (a list as text), item_id; other columns not read
    index/<category>*.item.json                  item id -> title, description, brand, categories

Source: Kong et al., "MiniOneRec: An Open-Source Framework for Scaling Generative Recommendation", arXiv 2510.24431.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from genrec.data import amazon, csv_rows, texts
from genrec.data.damage import checked
from genrec.data.given_sequences import Event, Sample, events_of
from genrec.data.identifiers import Ids, ids
from genrec.data.quarantine import MAX_DETAIL_CHARS, check_interactions, clip
from genrec.data.reviews import RATINGS, Layout
from genrec.data.shards import BadRow, Batch, Shard, SourceFile, empty_rows
from genrec.errors import DamagedFile, DataError
from genrec.variants import setting

PARTS = ("train", "valid", "test")
COLUMNS = ("user_id", "history_item_id", "item_id")
LAYOUT = Layout(
    user="user_id",
    items=("item_id",),
    rating="rating",
    timestamp="timestamp",
    milliseconds=1,
    verified="verified",
    descriptions=("description",),
    brands=("brand",),
    categories=("categories",),
)


@dataclass(frozen=True)
class Config:
    """Which data set of the folder is read."""

    category: str = setting("", "Beginning of the names of the files; empty where data.path holds one data set.")


def find(path: Path | None, options: Config) -> list[SourceFile]:
    """One CSV file a part and the items. Raises DataError that lists what is there where one is missing or ambiguous."""
    if path is None or not path.is_dir():
        where = "is not set" if path is None else f"is {path}, which is not a folder"
        raise DataError(f"data.path {where}; set it to the folder that holds train/, valid/, test/ and index/")
    files = [SourceFile("interactions", *_one(path, part, options.category, ".csv")) for part in PARTS]
    items = SourceFile("items", *_one(path, "index", options.category, ".item.json"))
    return [checked(file, partial(_check_columns, file)) for file in files] + [checked(items, partial(_items, items))]


def left_out(path: Path | None, options: Config) -> dict[str, str]:
    """Files of the four folders that are not read, and why."""
    if path is None or not path.is_dir():
        return {}
    taken = {file.name for file in find(path, options)}
    names = [f"{part}/{name}" for part in (*PARTS, "index") for name in _names(path / part)]
    return {name: "of another data set, or not read by this source" for name in names if name not in taken}


def read(shard: Shard, options: Config) -> Iterator[Batch]:
    """The events of a part, at positions that the parts before it decide; or the items."""
    if shard.kind == "items":
        yield _item_batch(shard) if shard.start == 0 else Batch(empty_rows("items"), [], 0, 1.0)
        return
    part = shard.path.parent.name
    samples: list[Sample] = []
    bad: list[BadRow] = []
    changes: Counter[str] = Counter()
    num_lines = 0
    for file in find(shard.path.parent.parent, options)[: len(PARTS)]:
        read_in_part, bad_in_part, lines, changes_in_part = _samples(file)
        samples += read_in_part
        if file.name == shard.name:
            bad, num_lines, changes = bad_in_part, lines, changes_in_part
    rows, also_bad = _rows(events_of(samples, part))
    yield Batch(rows, bad + also_bad, num_lines, 1.0, changes)


# ---- files ------------------------------------------------------------------------------------------------------------


def _one(path: Path, folder: str, category: str, ending: str) -> tuple[Path, str]:
    """The file of a folder and its name below `path`."""
    names = [n for n in _names(path / folder) if n.startswith(category) and n.lower().endswith(ending)]
    if len(names) != 1:
        there = amazon.listing(path / folder) if (path / folder).is_dir() else f"no folder; {amazon.listing(path)}"
        what = f"no file {category}*{ending}" if not names else f"{len(names)} files {category}*{ending}"
        raise DataError(
            f"data.path: {what} in {path / folder} (there is {there}); name the data set in data.options.category"
        )
    return path / folder / names[0], f"{folder}/{names[0]}"


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []


def _check_columns(file: SourceFile) -> None:
    names = csv_rows.header(file.path, file.name, csv_rows.Dialect())
    for column in COLUMNS:
        if column not in names:
            raise DataError(f"{file.name}: no column {column!r}; it has {', '.join(names)}")


# ---- samples ----------------------------------------------------------------------------------------------------------


def _samples(file: SourceFile) -> tuple[list[Sample], list[BadRow], int, Counter[str]]:
    """The rows of a CSV file, those that cannot be used, the number of its lines, and what was changed in ids."""
    part = file.path.parent.name
    samples: list[Sample] = []
    bad: list[BadRow] = []
    changes: Counter[str] = Counter()
    num_lines = 0
    for batch in csv_rows.batches(Shard(0, "interactions", file.path, file.name), csv_rows.Dialect()):
        bad += batch.bad
        num_lines = batch.num_lines
        texts_ = [next(c for c in batch.columns if c.name == name) for name in COLUMNS]
        user, target = (_ids(file, column, changes) for column in (texts_[0], texts_[2]))
        histories, refused = _histories(file, texts_[1], changes)
        for row, line in enumerate(batch.lines):
            history, problem = histories[row], None
            if isinstance(history, str):
                problem, history = ("wrong_type", history), []
            elif why := user.refused[row] or target.refused[row] or refused[row]:
                problem = "bad_id", why
            elif not user.values[row]:
                problem = "missing_user", f"user id is {texts_[0][row].strip() or 'blank'}"
            elif not target.values[row] or None in history:
                missing = "item id" if not target.values[row] else "an item of history_item_id"
                problem = "missing_item", f"{missing} is missing"
            if problem:
                record = dict(zip(COLUMNS, (column[row] for column in texts_), strict=True))
                bad.append(BadRow(line, *problem, clip(str(record))))
            else:
                known = [item for item in history if item is not None]
                samples.append(Sample(part, line, user.values[row], known, target.values[row]))
    return samples, bad, num_lines, changes


def _ids(file: SourceFile, column: pl.Series, changes: Counter[str]) -> Ids:
    found = ids(file.name, column)
    changes.update(found.changes)
    blank = found.values.str.strip_chars() == ""
    return found._replace(values=found.values.str.strip_chars().set(blank, None))


def _histories(
    file: SourceFile, column: pl.Series, changes: Counter[str]
) -> tuple[list[list[str | None] | str], list[str | None]]:
    """The items of each history (None: missing), or what is wrong with it; and why an id of it cannot be used."""
    read: list[list[str] | str] = []
    for text in column:
        try:
            names = texts.list_in_text(text.strip())
        except ValueError:
            names = None
        read.append(f"{column.name} is {clip(text, MAX_DETAIL_CHARS)}, not a list" if names is None else names)
    lengths = [0 if isinstance(names, str) else len(names) for names in read]
    flat = [name for names in read if not isinstance(names, str) for name in names]
    found = _ids(file, pl.Series(column.name, flat, dtype=pl.String), changes)
    values, refused = found.values.to_list(), found.refused.to_list()
    histories: list[list[str | None] | str] = []
    reasons: list[str | None] = []
    stop = 0
    for listed, length in zip(read, lengths, strict=True):
        start, stop = stop, stop + length
        histories.append(listed if isinstance(listed, str) else values[start:stop])
        reasons.append(next((why for why in refused[start:stop] if why), None))
    return histories, reasons


def _rows(events: list[Event]) -> tuple[pl.DataFrame, list[BadRow]]:
    nothing: dict[str, Any] = {name: pl.lit(None, dtype=pl.String).alias(name) for name in ("wrong", "refused")}
    frame = pl.DataFrame(
        events,
        schema={
            "line": pl.Int64,
            "user_id": pl.String,
            "item_id": pl.String,
            "timestamp": pl.Float64,
            "event": pl.String,
        },
        orient="row",
    ).with_columns(pl.lit(None, dtype=pl.Float64).alias("rating"), *nothing.values())
    return check_interactions(frame, lambda row: str(frame.row(row, named=True)), positions=True, rating_bounds=RATINGS)


# ---- items ------------------------------------------------------------------------------------------------------------


def _items(file: SourceFile | Shard) -> dict[str, dict]:
    """The document of items, by their ids."""
    with file.path.open("rb") as opened:
        try:
            found = orjson.loads(opened.read())
        except orjson.JSONDecodeError as error:
            raise DamagedFile(f"{file.name}: not a JSON document ({clip(str(error), MAX_DETAIL_CHARS)})") from None
    if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):
        raise DamagedFile(f"{file.name}: an object of items by their ids is expected")
    return found


def _item_batch(shard: Shard) -> Batch:
    records = [{**value, "item_id": item} for item, value in _items(shard).items()]
    lines = [orjson.dumps(record) for record in records]
    rows, bad, changes = amazon.item_rows(LAYOUT, 1, lines, list(range(len(lines))), records)
    return Batch(rows, bad, len(lines), 1.0, changes)
