"""Tables: interactions.{parquet,csv} and items.{parquet,csv}, with column names that can be mapped.

CSV files (also .csv.gz and .csv.zst) have a header. Times are seconds, milliseconds, microseconds or nanoseconds since 1970, ISO
texts, dates in eight digits, Parquet timestamps, or plain positions in a user's sequence: one of these in all files.
"""

import dataclasses
import difflib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from genrec.data import columns, csv_rows, table_files, texts
from genrec.data.damage import checked
from genrec.data.identifiers import MISSING_WORDS, Ids, ids
from genrec.data.quarantine import check_interactions, check_items
from genrec.data.shards import BadRow, Batch, Shard, SourceFile
from genrec.data.times import Head, times, unit_of_all
from genrec.errors import DataError
from genrec.variants import setting

REQUIRED = {"interactions": ("user_id", "item_id", "timestamp"), "items": ("item_id",)}
OPTIONAL = {"interactions": ("event", "rating"), "items": ("title", "description", "brand", "categories")}
_LARGEST = 3.4028234e38  # of float32, as which ratings are stored: a larger one would become infinite
ANY_NUMBER = (-_LARGEST, _LARGEST)
HEAD_ROWS = 1000


@dataclass(frozen=True)
class Config:
    """Names of the files and of their columns."""

    interactions: str = setting(
        "",
        "Interactions file in data.path; empty takes interactions.parquet, .csv, .csv.gz or .csv.zst, and any parts: files called "
        "interactions-* or interactions_<digit>*, or below a folder interactions/.",
    )
    items: str = setting(
        "", "Items file in data.path; empty takes items.parquet, .csv, .csv.gz or .csv.zst, and any parts as above."
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
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns", "iso", "compact", "position"] = setting(
        "auto",
        "What a time counts; auto decides by the size of the first values of all files, which must agree. compact: dates "
        "in digits, such as 20200913.",
    )
    default_event: str = setting("purchase", "Event type of rows that name none. Types are kept in small letters.")
    delimiter: str = setting(",", "Field delimiter of CSV files: one character (\\t: a tab).")
    encoding: str = setting("utf-8", "Encoding of CSV files: utf-8, utf-16, cp1252, ... (a name that Python knows).")
    max_field_lines: int = setting(
        csv_rows.MAX_FIELD_LINES,
        "Lines that a quoted field of a CSV file may have; a longer one is taken for a quote that was never closed.",
        ge=1,
        le=100_000,
    )
    category_delimiter: str = setting("|", "Delimiter of category names in one text.")
    ignore: tuple[str, ...] = setting((), "Columns of the files that are left out on purpose.")


def find(path: Path | None, options: Config) -> list[SourceFile]:
    """The files to read, checked to have the mapped columns and one unit of time."""
    heads: list[Head] = []
    _check_options(options)

    def look_at(file: SourceFile) -> None:
        _check_columns(file, options)
        if file.kind == "interactions" and options.timestamp_unit == "auto":
            heads.append(Head(file.name, _head(file, options)))

    files = table_files.find_files(path, (options.interactions, options.items))
    files = [checked(file, partial(look_at, file)) for file in files]
    unit = unit_of_all(options.timestamp, heads) if heads else options.timestamp_unit
    return [
        dataclasses.replace(
            file,
            time_unit=unit if file.kind == "interactions" else "",
            by_lines=not file.damage and csv_rows.every_line_is_a_row(file.path, _dialect(options)),
        )
        for file in files
    ]


def _check_options(options: Config) -> None:
    if not options.category_delimiter:
        raise DataError("data.options.category_delimiter: empty; name what stands between categories, such as | or >")
    if not options.default_event.strip():
        raise DataError("data.options.default_event: empty; name the type of events that name none, such as purchase")


def left_out(path: Path | None, options: Config) -> dict[str, str]:
    """Files of the folder that are not read, and why."""
    return table_files.left_out(path, (options.interactions, options.items))


def read(shard: Shard, options: Config) -> Iterator[Batch]:
    """The batches of a shard of either kind and format."""
    fixed = {
        name: value
        for name, value in table_files.partition_values(shard.name).items()
        if name in _known(shard, options)
    }
    for batch in _raw(shard, options):
        lines = pl.Series(
            "line", batch.lines, dtype=pl.Int64
        )  # apart from the frame, whose names are those of the file
        in_file = {column.name for column in batch.columns}
        in_folders = [_repeated(name, value, len(lines)) for name, value in fixed.items() if name not in in_file]
        frame = pl.DataFrame([*batch.columns, *in_folders])
        typed = _interactions if shard.kind == "interactions" else _items
        rows, also_bad, changes = typed(shard, lines, frame, options)
        yield Batch(rows, batch.bad + also_bad, batch.num_lines, batch.share, changes + Counter(batch.changes))


def _raw(shard: Shard, options: Config) -> Iterator[columns.RawBatch]:
    if columns.is_parquet(shard.path):
        return columns.parquet_batches(shard, list(_known(shard, options)))
    return csv_rows.batches(shard, _dialect(options))


def _known(file: Shard | SourceFile, options: Config) -> dict[str, str]:
    """The fields by the names of their columns."""
    return {getattr(options, field): field for field in REQUIRED[file.kind] + OPTIONAL[file.kind]}


def _dialect(options: Config) -> csv_rows.Dialect:
    delimiter = "\t" if options.delimiter == r"\t" else options.delimiter
    return csv_rows.Dialect(delimiter, options.encoding, options.max_field_lines)


# ---- columns ----------------------------------------------------------------------------------------------------------


def _column_names(path: Path, name: str, options: Config) -> list[str]:
    """The columns of a file, from its footer or header."""
    if columns.is_parquet(path):
        return columns.open_parquet(path, name).schema_arrow.names
    return csv_rows.header(path, name, _dialect(options))


def _check_columns(file: SourceFile, options: Config) -> None:
    """Every mapped column that is needed is there, and no column is unknown.

    A misspelt name would otherwise lose a whole column without a word.
    """
    known = _known(file, options)
    in_file = _column_names(file.path, file.name, options)
    if twice := sorted(name for name in {*in_file} & {*known} if in_file.count(name) > 1):
        raise DataError(f"{file.name}: column {twice[0]!r} occurs twice; rename one of them")
    if len(in_file) == 1 and (other := csv_rows.likely_delimiter(in_file, known, _dialect(options))):
        raise DataError(
            f"{file.name}: one column, {in_file[0]!r}; its delimiter looks like {other!r}: set data.options.delimiter"
        )
    present = [*in_file, *(name for name in table_files.partition_values(file.name) if name in known)]
    unknown = [column for column in in_file if column not in known and column not in options.ignore]
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


def _interactions(
    shard: Shard, lines: pl.Series, frame: pl.DataFrame, options: Config
) -> tuple[pl.DataFrame, list[BadRow], Counter[str]]:
    unit = shard.time_unit
    changes: Counter[str] = Counter()
    time, time_wrong = _column(shard, frame[options.timestamp], partial(times, shard.name, unit=unit))
    rating = columns.column_or_nulls(frame, options.rating, pl.Float64)
    rating, rating_wrong = _column(shard, rating, partial(columns.numbers, shard.name))
    event = _column(shard, columns.column_or_nulls(frame, options.event, pl.String), _event_types)
    user, item = _ids(shard, frame[options.user_id], changes), _ids(shard, frame[options.item_id], changes)
    typed = pl.DataFrame(
        [
            lines,
            user.values.alias("user_id"),
            item.values.alias("item_id"),
            time.alias("timestamp"),
            event.fill_null(options.default_event.strip().lower()).alias("event"),
            rating.alias("rating"),
            _first_of(time_wrong, rating_wrong).alias("wrong"),
            _first_of(user.refused, item.refused).alias("refused"),
        ]
    )
    rows, bad = check_interactions(typed, _record_of(frame), positions=unit == "position", rating_bounds=ANY_NUMBER)
    return rows, bad, changes


def _items(
    shard: Shard, lines: pl.Series, frame: pl.DataFrame, options: Config
) -> tuple[pl.DataFrame, list[BadRow], Counter[str]]:
    changes: Counter[str] = Counter()
    categories, wrong = _column(
        shard,
        columns.column_or_nulls(frame, options.categories, pl.String),
        partial(texts.name_lists, delimiter=options.category_delimiter, changes=changes),
    )
    fields = {
        field: columns.column_or_nulls(frame, getattr(options, field), pl.String)
        for field in ("title", "description", "brand")
    }
    item = _ids(shard, frame[options.item_id], changes)
    typed = pl.DataFrame(
        [
            lines,
            item.values.alias("item_id"),
            *(
                _column(shard, column, partial(texts.text_column, changes=changes)).alias(field)
                for field, column in fields.items()
            ),
            categories.fill_null([]).alias("categories"),
            wrong.alias("wrong"),
            item.refused.alias("refused"),
        ]
    )
    rows, bad = check_items(typed, _record_of(frame))
    return rows, bad, changes


def _ids(shard: Shard, column: pl.Series, changes: Counter[str]) -> Ids:
    found: Ids = _column(shard, column, partial(ids, shard.name))
    changes.update(found.changes)
    return found


def _event_types(column: pl.Series) -> pl.Series:
    """In small letters, null where there is none."""
    text = texts.as_text(column).str.strip_chars()
    return text.set((text == "") | text.is_in(MISSING_WORDS), None).str.to_lowercase()


def _column(shard: Shard, column: pl.Series, read: Any) -> Any:
    return columns.reading_column(shard.name, column.name, str(column.dtype), lambda: read(column))


def _first_of(first: pl.Series, second: pl.Series) -> pl.Series:
    return pl.select(pl.coalesce(first.alias("first"), second.alias("second"))).to_series()


def _record_of(frame: pl.DataFrame) -> Any:
    return lambda row: str(frame.row(row, named=True))


def _repeated(name: str, value: str | None, number: int) -> pl.Series:
    return pl.Series(name, [value], dtype=pl.String).new_from_index(0, number)


def _head(file: SourceFile, options: Config) -> pl.Series:
    """The times of the file's first rows, as they stand there."""
    name = options.timestamp
    partition = table_files.partition_values(file.name)
    head = pl.Series(name, [], dtype=pl.String)
    if columns.is_parquet(file.path):
        parquet = columns.open_parquet(file.path, file.name)
        if name in parquet.schema_arrow.names:
            for batch in parquet.iter_batches(batch_size=HEAD_ROWS, columns=[name]):
                return columns.as_series(file.name, name, batch.column(name))
    elif name not in partition:
        whole = Shard(0, file.kind, file.path, file.name)
        for raw in csv_rows.batches(whole, _dialect(options), batch_rows=HEAD_ROWS):
            head = head.append(next(column for column in raw.columns if column.name == name))
            if len(head) >= HEAD_ROWS:
                break
    return pl.Series(name, [partition[name]], dtype=pl.String) if name in partition else head.head(HEAD_ROWS)
