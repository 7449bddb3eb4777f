"""Ids as text by one rule, so that the same user or item is written alike in every file.

The rule: blanks around an id are removed; a whole number written with a fraction of zeros (`7.0`) is that whole number
(`7`); words that libraries write for a missing value (`nan`, `None`, `<NA>`, ...) are missing; letters and leading zeros
stay as they are. An id whose digits are lost already is refused, because another one may have become the same text.
"""

from typing import NamedTuple

import polars as pl

from genrec.data.columns import nothing_wrong
from genrec.errors import DataError

MISSING_WORDS = ("nan", "NaN", "None", "<NA>", "null", "NULL", "NaT", "N/A", "n/a", "#N/A")

_EXACT_FLOATS: dict[type[pl.DataType], int] = {
    pl.Float32: 2**24,
    pl.Float64: 2**53,
}  # whole numbers from here on share a float
_WORDS = "|".join(MISSING_WORDS)
_ODD = rf"^\s|\s$|^(?:{_WORDS})$|^[+-]?\d+(?:\.\d*)?(?:[eE]\+?\d+)?$|[\r\n]"  # a change or a refusal is possible
_PLAIN_NUMBER = r"^\d+$"
_WHOLE = r"^([+-]?\d+)\.0+$"
_SCIENTIFIC = r"^[+-]?\d+(?:[eE]\+|\.\d+[eE]\+?)\d+$"


class Ids(NamedTuple):
    """A column of ids after the rule."""

    values: pl.Series  # text; null where missing or refused
    refused: pl.Series  # text, why an id cannot be used; null where it can
    changes: dict[str, int]  # how many were `cleaned_ids` and `missing_words`


def ids(file: str, column: pl.Series) -> Ids:
    """Ids as text. Raises DataError, with the names of file and column, for types that are no ids."""
    if column.dtype.is_float():
        return _of_floats(column)
    if column.dtype == pl.Decimal:
        column = column.cast(pl.String).str.replace(r"\.0+$", "")
        fraction = column.str.contains(".", literal=True)
        return Ids(column.set(fraction, None), _why(column, fraction, "a fraction"), {})
    if column.dtype.is_integer() or column.dtype == pl.Null:
        return Ids(column.cast(pl.String), nothing_wrong(column).alias("refused"), {})
    if column.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Binary):
        return of_texts(column.cast(pl.String))
    raise DataError(
        f"{file}: column {column.name!r} holds {column.dtype}; ids are text or whole numbers: write the column as text"
    )


def of_texts(column: pl.Series) -> Ids:
    """The rule for a column of text."""
    odd = column.str.contains(_ODD)
    if not odd.any() or not (odd & ~column.str.contains(_PLAIN_NUMBER)).any():
        return Ids(column, nothing_wrong(column).alias("refused"), {})
    text = column.str.strip_chars()
    missing = text.is_in(MISSING_WORDS).fill_null(False)
    text = text.set(missing, None)
    scientific = text.str.contains(_SCIENTIFIC).fill_null(False)
    broken = text.str.contains(r"[\r\n]").fill_null(False)
    whole = text.str.extract(_WHOLE)
    digits = whole.str.strip_chars("+-").str.strip_chars_start("0")
    # Only a float column is written with `.0`, so that what a float cannot tell apart is rounded.
    rounded = (digits.str.len_bytes() > 16) | (digits.cast(pl.Int64, strict=False) >= _EXACT_FLOATS[pl.Float64])
    rounded = rounded.fill_null(False)
    refused = pl.select(
        pl.when(scientific)
        .then(pl.format("{} is {}, in scientific notation: digits may be lost; write ids as text", pl.lit(column.name), text))
        .when(rounded)
        .then(pl.format("{} is {}, a number that a float rounds; write ids as text", pl.lit(column.name), text))
        .when(broken)
        .then(pl.format("{} holds a line break; a quote may be missing", pl.lit(column.name)))
        .otherwise(None)
        .alias("refused")
    ).to_series()  # fmt: skip
    values = pl.select(pl.when(refused.is_null()).then(pl.coalesce(whole, text)).alias(column.name)).to_series()
    changed = (values.is_not_null() & (values != column)).sum()
    counted = {"cleaned_ids": int(changed), "missing_words": int(missing.sum())}
    return Ids(values, refused, {name: number for name, number in counted.items() if number})


def _of_floats(column: pl.Series) -> Ids:
    """Whole floats are fine where the type tells neighbours apart; NaN is missing."""
    column = column.fill_nan(None)
    limit = _EXACT_FLOATS.get(type(column.dtype), 2**11)  # or of half precision
    fraction = (column != column.floor()).fill_null(False)
    rounded = (column.abs() >= limit).fill_null(False)
    refused = pl.select(
        pl.when(rounded)
        .then(pl.format("{} is {}, a number that {} rounds; write ids as text", pl.lit(column.name), column, pl.lit(str(column.dtype))))
        .when(fraction)
        .then(pl.format("{} is {}; ids are text or whole numbers", pl.lit(column.name), column))
        .otherwise(None)
        .alias("refused")
    ).to_series()  # fmt: skip
    whole = column.set(fraction | rounded, None).cast(pl.Int64)
    return Ids(whole.cast(pl.String), refused, {})


def _why(column: pl.Series, where: pl.Series, what: str) -> pl.Series:
    return (column.name + " is " + column + ", " + what).set(~where.fill_null(False), None)
