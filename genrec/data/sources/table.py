"""Tables: interactions.{parquet,csv} and items.{parquet,csv}, with column names that can be mapped.

CSV files (also .csv.gz) have a header. Times are seconds, milliseconds, microseconds or nanoseconds since 1970, ISO
texts, Parquet timestamps, or plain positions in a user's sequence.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from genrec.data import columns, csv_rows
from genrec.data.amazon import listing
from genrec.data.quarantine import check_interactions, check_items
from genrec.data.shards import BadRow, Batch, Kind, Shard, SourceFile
from genrec.errors import DataError
from genrec.variants import setting

REQUIRED = {"interactions": ("user_id", "item_id", "timestamp"), "items": ("item_id",)}
OPTIONAL = {"interactions": ("event", "rating"), "items": ("title", "description", "brand", "categories")}
ENDINGS = (".parquet", ".csv", ".csv.gz")
ANY_NUMBER = (float("-inf"), float("inf"))
HEAD_ROWS = 1000


@dataclass(frozen=True)
class Config:
    """Names of the files and of their columns."""

    interactions: str = setting(
        "",
        "Interactions file in data.path; empty takes interactions.parquet, .csv or .csv.gz, and any parts: files called "
        "interactions-* or in a folder interactions/.",
    )
    items: str = setting(
        "", "Items file in data.path; empty takes items.parquet, .csv or .csv.gz, and any parts as above."
    )
    user_id: str = setting("user_id", "Column of the user id (interactions).")
    item_id: str = setting("item_id", "Column of the item id (both files).")
    timestamp: str = setting("timestamp", "Column of the time (interactions).")
    event: str = setting("event", "Column of the event type (interactions; may be absent).")
    rating: str = setting("rating", "Column of the rating (interactions; may be absent).")
    title: str = setting("title", "Column of the title (items; may be absent).")
    description: str = setting("description", "Column of the description (items; may be absent).")
    brand: str = setting("brand", "Column of the brand (items; may be absent).")
    categories: str = setting("categories", "Column of the categories, a list or a delimited text (may be absent).")
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns", "iso", "position"] = setting(
        "auto", "What a time counts; auto decides by the size of the file's first values."
    )
    default_event: str = setting("purchase", "Event type of rows that name none.")
    delimiter: str = setting(",", "Field delimiter of CSV files.")
    category_delimiter: str = setting("|", "Delimiter of category names in one text.")
    ignore: tuple[str, ...] = setting((), "Columns of the files that are left out on purpose.")


def find(path: Path | None, options: Config) -> list[SourceFile]:
    """The files to read, checked to have the mapped columns."""
    files = _find_files(path, options)
    for file in files:
        _check_columns(file, options)
    return files


def read(shard: Shard, options: Config) -> Iterator[Batch]:
    """The batches of a shard of either kind and format."""
    unit = _time_unit(shard, options) if shard.kind == "interactions" else ""
    raw = (
        columns.parquet_batches(shard) if columns.is_parquet(shard.path) else csv_rows.batches(shard, options.delimiter)
    )
    for batch in raw:
        frame = pl.DataFrame({"line": pl.Series(batch.lines, dtype=pl.Int64)}).with_columns(batch.columns)
        if shard.kind == "interactions":
            rows, also_bad = _interactions(shard, frame, options, unit)
        else:
            rows, also_bad = _items(shard, frame, options)
        yield Batch(rows, batch.bad + also_bad, batch.num_lines, batch.share)


# ---- files and columns ------------------------------------------------------------------------------------------------


def _find_files(path: Path | None, options: Config) -> list[SourceFile]:
    """The interactions and items files: one of each, and any number of parts that came later.

    Parts are called `interactions-*` or lie in a folder `interactions/` (`items` alike), in any of the formats. A file
    that is named in the options stands alone. Raises DataError that lists what is there when a kind has none.
    """
    if path is None or not path.is_dir():
        where = "is not set" if path is None else f"is {path}, which is not a folder"
        raise DataError(
            f"data.path {where}; set it to the folder with interactions.parquet and items.parquet (or .csv)"
        )
    kinds: tuple[tuple[Kind, str], ...] = (("interactions", options.interactions), ("items", options.items))
    files = []
    for kind, named in kinds:
        candidates = [named] if named else [kind + ending for ending in ENDINGS]
        present = [name for name in candidates if (path / name).is_file()][:1]
        present += [] if named else _parts(path, kind)
        if not present:
            raise DataError(
                f"data.path: no {' or '.join(candidates)} in {path}; it holds {listing(path)}. "
                f"Name the file in data.options.{kind}"
            )
        if not present[0].endswith(ENDINGS):
            raise DataError(f"data.options.{kind}: {present[0]} is neither of {', '.join(ENDINGS)}")
        files += [SourceFile(kind, path / name, name) for name in present]
    return files


def _parts(path: Path, kind: str) -> list[str]:
    """Names below `path` of the files of a kind that came in parts, sorted."""
    present = [p for pattern in (f"{kind}-*", f"{kind}/*") for p in path.glob(pattern)]
    names = [p.relative_to(path).as_posix() for p in present if p.is_file() and p.name.endswith(ENDINGS)]
    return sorted(name for name in names if not Path(name).name.startswith("."))


def _column_names(path: Path, name: str, options: Config) -> list[str]:
    """The columns of a file, from its footer or header."""
    if columns.is_parquet(path):
        return columns.open_parquet(path, name).schema_arrow.names
    return csv_rows.header(path, name, options.delimiter)


def _check_columns(file: SourceFile, options: Config) -> None:
    """Every mapped column that is needed is there, and no column is unknown.

    A misspelt name would otherwise lose a whole column without a word.
    """
    present = _column_names(file.path, file.name, options)
    known = {getattr(options, field): field for field in REQUIRED[file.kind] + OPTIONAL[file.kind]}
    unknown = [column for column in present if column not in known and column not in options.ignore]
    for field in REQUIRED[file.kind]:
        column = getattr(options, field)
        if column not in present:
            raise DataError(
                f"{file.name}: no column {column!r}; it has {', '.join(map(repr, present))}.{_guess(column, unknown)} "
                f"Map it with data.options.{field}"
            )
    if unknown:
        column = unknown[0]
        raise DataError(
            f"{file.name}: unknown column {column!r}.{_guess(column, [c for c in known if c not in present])} "
            "Rename or map it (data.options.<field>: <column>), or list it in data.options.ignore"
        )


def _guess(name: str, candidates: list[str]) -> str:
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


# ---- rows -------------------------------------------------------------------------------------------------------------


def _interactions(shard: Shard, frame: pl.DataFrame, options: Config, unit: str) -> tuple[pl.DataFrame, list[BadRow]]:
    time, time_wrong = columns.times(frame[options.timestamp], unit)
    rating, rating_wrong = columns.numbers(columns.column_or_nulls(frame, options.rating, pl.Float64))
    event = (
        columns.column_or_nulls(frame, options.event, pl.String).cast(pl.String).str.strip_chars().str.to_lowercase()
    )
    typed = pl.DataFrame(
        [
            frame["line"],
            columns.ids(shard.name, frame[options.user_id]).alias("user_id"),
            columns.ids(shard.name, frame[options.item_id]).alias("item_id"),
            time.alias("timestamp"),
            event.alias("event"),
            rating.alias("rating"),
            time_wrong.alias("time_wrong"),
            rating_wrong.alias("rating_wrong"),
        ]
    ).with_columns(
        pl.when(pl.col("event").fill_null("") == "")
        .then(pl.lit(options.default_event))
        .otherwise("event")
        .alias("event"),
        pl.coalesce("time_wrong", "rating_wrong").alias("wrong"),
    )
    return check_interactions(typed, _record_of(frame), positions=unit == "position", rating_bounds=ANY_NUMBER)


def _items(shard: Shard, frame: pl.DataFrame, options: Config) -> tuple[pl.DataFrame, list[BadRow]]:
    categories = columns.column_or_nulls(frame, options.categories, pl.String)
    if categories.dtype == pl.List:
        categories = categories.cast(pl.List(pl.String)).list.drop_nulls()
    else:
        parts = categories.cast(pl.String).str.split(options.category_delimiter)
        categories = parts.list.eval(pl.element().str.strip_chars()).list.eval(pl.element().filter(pl.element() != ""))
    typed = pl.DataFrame(
        [
            frame["line"],
            columns.ids(shard.name, frame[options.item_id]).alias("item_id"),
            *(
                columns.column_or_nulls(frame, getattr(options, field), pl.String).cast(pl.String).alias(field)
                for field in ("title", "description", "brand")
            ),
            categories.alias("categories").fill_null([]),
            pl.Series("wrong", [None], dtype=pl.String).new_from_index(0, frame.height),
        ]
    )
    return check_items(typed, _record_of(frame))


def _record_of(frame: pl.DataFrame) -> Any:
    shown = frame.drop("line")
    return lambda row: str(shown.row(row, named=True))


def _time_unit(shard: Shard, options: Config) -> str:
    """The unit of the file's time column, as configured or by its first values.

    Every shard of a file looks at the same head, so that all of them decide alike.
    """
    return options.timestamp_unit if options.timestamp_unit != "auto" else columns.unit_of(_head(shard, options))


def _head(shard: Shard, options: Config) -> pl.Series:
    """The times of the file's first rows, as they stand there."""
    whole = Shard(0, shard.kind, shard.path, shard.name)
    if columns.is_parquet(shard.path):
        file = columns.open_parquet(shard.path, shard.name)
        for batch in file.iter_batches(batch_size=HEAD_ROWS, columns=[options.timestamp]):
            return pl.Series(options.timestamp, pl.from_arrow(batch.column(0)))
        return pl.Series(options.timestamp, [], dtype=pl.Float64)
    head = pl.Series(options.timestamp, [], dtype=pl.String)
    for raw in csv_rows.batches(whole, options.delimiter, batch_rows=HEAD_ROWS):
        head = head.append(next(column for column in raw.columns if column.name == options.timestamp))
        if len(head) >= HEAD_ROWS:
            break
    return head.head(HEAD_ROWS)
