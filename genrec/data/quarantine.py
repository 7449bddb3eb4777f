"""Rows that cannot be used are set aside by reason, never dropped silently and never repaired by guessing.

The checks run column-wise over a block of rows; a single row is looked at only once it is known to be bad.
"""

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from genrec.data.shards import ROW_TYPES, BadRow
from genrec.tables import END_TIME_MS, FIRST_TIME_MS

REASONS = {
    "bad_json": "the line is not a JSON document",
    "bad_csv": "the row does not have as many fields as the header",
    "bad_utf8": "the line holds bytes that are not UTF-8",
    "truncated_file": "the file ends in the middle; everything before the cut was read, or the file left out",
    "damaged_file": "the file, or what comes behind this line, cannot be read",
    "wrong_type": "a value has another type than its column",
    "missing_user": "no user id",
    "missing_item": "no item id",
    "bad_id": "an id whose digits are lost already (a rounded number), or with a fraction or a line break",
    "bad_timestamp": "no time, or a time outside 1990 to 2100 (or a negative position)",
    "bad_rating": "a rating that is not a number of the scale",
    "duplicate_event": "same user, item, time and event as an earlier row",
    "duplicate_item": "same item id as an earlier row",
}

MAX_RECORD_CHARS = 500
MAX_DETAIL_CHARS = 200


POSITION_LIMIT = 100_000_000  # positions stay below it, milliseconds of any accepted time are far above


def clip(text: str, limit: int = MAX_RECORD_CHARS) -> str:
    """`text`, cut at `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def typed_values(name: str, values: Sequence[Any], kinds: tuple[type, ...], wrong: dict[int, str]) -> Sequence[Any]:
    """Python values that must be None or of exactly one of `kinds`.

    Other values become None and are noted in `wrong` (row -> the value), so that one odd value costs one row.
    """
    allowed = {*kinds, type(None)}
    if not set(map(type, values)) <= allowed:
        values = list(values)
        for row in [row for row, value in enumerate(values) if type(value) not in allowed]:
            wrong.setdefault(row, f"{name} is {clip(repr(values[row]), MAX_DETAIL_CHARS)}")
            values[row] = None
    return values


def text_values(name: str, values: Sequence[Any], wrong: dict[int, str]) -> pl.Series:
    """A column of text from Python values, by the rule of `typed_values`."""
    return pl.Series(name, typed_values(name, values, (str,), wrong), dtype=pl.String)


def wrong_column(num_rows: int, wrong: dict[int, str]) -> pl.Series:
    """`wrong` as a nullable text column."""
    column: list[str | None] = [None] * num_rows
    for row, detail in wrong.items():
        column[row] = detail
    return pl.Series("wrong", column, dtype=pl.String)


def _blank(column: str) -> pl.Expr:
    return pl.col(column).is_null() | (pl.col(column).str.strip_chars() == "")


def check_interactions(
    frame: pl.DataFrame, record: Callable[[int], str], *, positions: bool, rating_bounds: tuple[float, float]
) -> tuple[pl.DataFrame, list[BadRow]]:
    """Split typed interaction rows into valid and bad ones.

    frame: line, user_id, item_id, event (text), timestamp, rating (float64, timestamp in milliseconds or a position),
    wrong (text, null when every type was right), refused (text, null when both ids can be used). record(row) gives the
    row as read.
    """
    low, high = (0, POSITION_LIMIT) if positions else (FIRST_TIME_MS, END_TIME_MS)
    time, rating = pl.col("timestamp"), pl.col("rating")
    time_ok = (time >= low) & (time < high) & (time == time.floor())
    rating_ok = rating.is_null() | rating.is_between(*rating_bounds)  # false for NaN
    good = ~_blank("user_id") & ~_blank("item_id") & time_ok.fill_null(False) & rating_ok
    if frame.select((good & pl.col("wrong").is_null() & pl.col("refused").is_null()).all()).item():
        return _as_rows(frame, "interactions"), []
    reason = (
        pl.when(pl.col("wrong").is_not_null())
        .then(pl.lit("wrong_type"))
        .when(pl.col("refused").is_not_null())
        .then(pl.lit("bad_id"))
        .when(_blank("user_id"))
        .then(pl.lit("missing_user"))
        .when(_blank("item_id"))
        .then(pl.lit("missing_item"))
        .when(~time_ok.fill_null(False))
        .then(pl.lit("bad_timestamp"))
        .when(~rating_ok)
        .then(pl.lit("bad_rating"))
    )
    detail = (
        pl.when(reason == "wrong_type")
        .then(pl.col("wrong"))
        .when(reason == "bad_id")
        .then(pl.col("refused"))
        .when(reason == "missing_user")
        .then(pl.format("user id is {}", pl.col("user_id").fill_null("missing")))
        .when(reason == "missing_item")
        .then(pl.format("item id is {}", pl.col("item_id").fill_null("missing")))
        .when(reason == "bad_timestamp")
        .then(
            pl.when(time.is_null())
            .then(pl.lit("no timestamp"))
            # Anything a float holds: a cast to integers would refuse the very values to be shown here.
            .otherwise(pl.format("timestamp is {}", time))
        )
        .otherwise(pl.format("rating is {}", rating))
    )
    return _split(frame, reason, detail, record, "interactions")


def check_items(frame: pl.DataFrame, record: Callable[[int], str]) -> tuple[pl.DataFrame, list[BadRow]]:
    """Split typed item rows (line, the columns of ITEMS, wrong, refused) into valid and bad ones; missing texts become empty."""
    reason = (
        pl.when(pl.col("wrong").is_not_null())
        .then(pl.lit("wrong_type"))
        .when(pl.col("refused").is_not_null())
        .then(pl.lit("bad_id"))
        .when(_blank("item_id"))
        .then(pl.lit("missing_item"))
    )
    detail = pl.coalesce("wrong", "refused", pl.format("item id is {}", pl.col("item_id").fill_null("missing")))
    texts = [pl.col(name).fill_null("") for name in ("title", "description", "brand")]
    return _split(frame.with_columns(texts), reason, detail, record, "items")


def _split(
    frame: pl.DataFrame, reason: pl.Expr, detail: pl.Expr, record: Callable[[int], str], kind: str
) -> tuple[pl.DataFrame, list[BadRow]]:
    frame = frame.with_columns(reason.alias("reason"))
    if frame["reason"].null_count() == frame.height:
        return _as_rows(frame, kind), []
    bad = frame.with_columns(detail.alias("detail")).with_row_index("row").filter(pl.col("reason").is_not_null())
    rows = [
        BadRow(line, reason, clip(detail, MAX_DETAIL_CHARS), clip(record(row)))
        for row, line, reason, detail in bad.select("row", "line", "reason", "detail").iter_rows()
    ]
    return _as_rows(frame.filter(pl.col("reason").is_null()), kind), rows


def _as_rows(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    types = ROW_TYPES[kind]
    return frame.select(list(types)).cast(types)  # type: ignore[arg-type]
