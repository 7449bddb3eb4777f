"""Times of any unit as milliseconds, and the one unit that a column has in all files."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from genrec.data.columns import nothing_wrong, numbers
from genrec.data.quarantine import POSITION_LIMIT, clip
from genrec.errors import DataError

MS_PER_UNIT = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6, "position": 1.0}
UNITS = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "iso": "dates",
    "compact": "dates in digits",
    "position": "positions",
    "zeros": "only zeros",
}
FORMATS = "2020-09-13, 2020-09-13T12:26:40.5, with Z, UTC, GMT or an offset (+02:00)"
_UNIT_LIMITS = (("position", POSITION_LIMIT), ("s", 1e11), ("ms", 1e14), ("us", 1e17))  # a value below it, in the unit
_EXACT_FLOAT32 = 2**24  # whole numbers from here on share a float32
# A large number in scientific notation, and its decimals. Spreadsheets write five at the most; programs that write a float64 so
# write all there are, which some of many times need.
_SCIENTIFIC = r"^\s*[+-]?\d(?:\.(\d*))?[eE]\+?(?:0?[6-9]|1\d)\s*$"
_SHEET_DECIMALS = 5
_FIRST_DAY, _LAST_DAY = 19000101, 21001231
_YEARS = (1900, 2100)


class Head(NamedTuple):
    """The times that a file begins with."""

    file: str
    values: pl.Series


def times(file: str, column: pl.Series, unit: str) -> tuple[pl.Series, pl.Series]:
    """Milliseconds (or positions) as float64, whole where the unit is finer, and what is of the wrong type.

    Raises DataError for a column whose type is no time.
    """
    _check_type(file, column)
    _check_digits(file, column)
    if column.dtype.is_temporal():
        whole = column.cast(pl.Datetime("ms")).dt.timestamp("ms")
        return whole.cast(pl.Float64), nothing_wrong(column)
    if unit in ("iso", "compact"):
        text = (column.cast(pl.String) if unit == "iso" else _digits(column)).str.strip_chars()
        text = text.set(text == "", None)
        time = iso_milliseconds(text if unit == "iso" else _spelt_out(text))
        wrong = column.name + " is " + text.str.head(60) + f"; times are written {FORMATS}"
        return time, wrong.set(~(time.is_null() & text.is_not_null()), None)
    number, wrong = numbers(file, column)
    if unit == "position":
        return number, wrong
    return (number * MS_PER_UNIT[unit]).round(3).floor(), wrong


def iso_milliseconds(text: pl.Series) -> pl.Series:
    """Milliseconds since 1970 (float64) of ISO 8601 dates and times; without an offset they are UTC; null where none.

    Every accepted form is completed to one, because a format string reads rows either with or without an offset: a
    str.to_datetime for each form took 1.4 times as long.
    """
    part = lambda number: pl.col("parts").struct.field(str(number))  # noqa: E731
    complete = pl.format(
        "{} {}:{}.{}{}:{}",
        part(1),
        part(2).fill_null("00:00"),
        part(3).fill_null("00"),
        part(4).fill_null("0"),
        part(5).fill_null("+00"),
        part(6).fill_null("00"),
    )
    time = complete.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z", time_unit="ms", time_zone="UTC", strict=False)
    parts = pl.DataFrame({"text": text}).select(pl.col("text").str.extract_groups(_ISO).alias("parts"))
    return parts.select(time.dt.timestamp("ms").cast(pl.Float64).alias(text.name)).to_series()


_ISO = (  # date, hours and minutes, seconds, fraction, offset: hours, minutes; a zone's name may follow an offset
    r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::([0-5]\d)(?:[.,](\d{1,9}))?)?)?"
    r" ?(?:(?:[Zz]|UTC|GMT|([+-]\d{2}):?(\d{2})?)(?:\[[\w/+-]+\])?)?$"
)


def _digits(column: pl.Series) -> pl.Series:
    """Dates in digits as text, without the `.0` of a float: pandas makes floats of whole numbers with gaps."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
        whole = column.cast(pl.Int64, strict=False)
        column = (
            pl.select(pl.when(whole == column).then(whole.cast(pl.String)).otherwise(column.cast(pl.String)))
            .to_series()
            .alias(column.name)
        )
    return column.cast(pl.String).str.replace(r"\.0+\s*$", "")


def _spelt_out(digits: pl.Series) -> pl.Series:
    """20200913 and 20200913122640 as ISO texts."""
    return digits.str.replace(r"^(\d{4})(\d\d)(\d\d)$", "${1}-${2}-${3}").str.replace(
        r"^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$", "${1}-${2}-${3} ${4}:${5}:${6}"
    )


# ---- units ------------------------------------------------------------------------------------------------------------


def unit_of_all(column: str, heads: Sequence[Head]) -> str:
    """The one unit of a column of several files. Raises DataError that names both where two of them differ."""
    found: dict[str, Head] = {}
    for head in heads:
        if unit := unit_of(head):
            found.setdefault(unit, head)
    if set(found) == {"zeros", "position"}:
        del found["zeros"]
    if len(found) > 1:
        (unit, head), (other, second) = list(found.items())[:2]
        raise DataError(
            f"{column} counts {UNITS[unit]} in {head.file} ({_example(head)}) and {UNITS[other]} in {second.file} "
            f"({_example(second)}); write one unit in all files, and name it in data.options.timestamp_unit where it is "
            "not told by its size"
        )
    return {"zeros": "position"}.get(unit := next(iter(found), "iso"), unit)


def unit_of(head: Head) -> str:
    """The unit of a time column, decided by its first values: by the median of those that are not 0; "" without values.

    `zeros` where there is nothing but zeros. Raises DataError for what is no time: truth values, years, durations.
    """
    file, column = head
    _check_type(file, column)
    _check_digits(file, column)
    if column.dtype.is_temporal():
        return "iso"
    parsed, _ = numbers(file, column)
    values = [value for value in parsed.drop_nulls().to_list() if math.isfinite(value)]
    given = len(column.cast(pl.String).str.strip_chars().replace("", None).drop_nulls())
    if not given:
        return ""
    if len(values) * 2 < given:
        _check_no_truth_values(file, column)
        return "iso"
    counted = [abs(value) for value in values if value]
    if not counted:
        return "zeros"
    if _are_dates(counted):
        return "compact"
    if all(_YEARS[0] <= value <= _YEARS[1] and value == int(value) for value in counted):
        raise DataError(
            f"{file}: column {column.name!r} holds years ({_example(head)}), which do not tell the order of events; write "
            "dates, or set data.options.timestamp_unit to position where they are positions in a user's sequence"
        )
    typical = statistics.median(counted)
    return next((unit for unit, limit in _UNIT_LIMITS if typical < limit), "ns")


def _are_dates(values: list[float]) -> bool:
    """Whether all values are days such as 20200913, or such days with a time of day in six digits."""
    days = [value // 1e6 if value > 1e10 else value for value in values]
    inside = all(_FIRST_DAY <= day <= _LAST_DAY for day in days)
    return inside and all(1 <= day // 100 % 100 <= 12 and 1 <= day % 100 <= 31 for day in days)


def _check_type(file: str, column: pl.Series) -> None:
    kind = column.dtype
    clock = isinstance(kind, pl.Date | pl.Datetime)
    if (kind.is_numeric() or kind in (pl.String, pl.Null) or clock) and not isinstance(kind, pl.Duration | pl.Time):
        return
    raise DataError(
        f"{file}: column {column.name!r} holds {kind}, which is no point in time; write dates and times ({FORMATS}), "
        "numbers since 1970, or positions"
    )


def _check_digits(file: str, column: pl.Series) -> None:
    """Times whose digits are lost already would be read as the same time, and events change their order."""
    fix = "write whole numbers (int64) or dates"
    if isinstance(column.dtype, pl.Float32) and (column.is_finite() & (column.abs() >= _EXACT_FLOAT32)).any():
        raise DataError(f"{file}: column {column.name!r} holds Float32, which rounds numbers of that size; {fix}")
    if column.dtype != pl.String:
        return
    scientific = column.filter(column.str.contains(_SCIENTIFIC).fill_null(False))
    # A program that writes the shortest form has a few of these among others, and they are exact.
    given = (column.str.strip_chars() != "").sum()
    if (
        len(scientific) * 2 > given
        and (scientific.str.extract(_SCIENTIFIC).str.len_bytes().fill_null(0) <= _SHEET_DECIMALS).all()
    ):
        raise DataError(
            f"{file}: column {column.name!r} holds {clip(scientific[0].strip(), 40)}, as a spreadsheet writes long numbers: digits are "
            f"lost; {fix}"
        )


def _check_no_truth_values(file: str, column: pl.Series) -> None:
    words = column.cast(pl.String).str.strip_chars().str.to_lowercase().drop_nulls()
    if words.is_in(["true", "false"]).all():
        raise DataError(f"{file}: column {column.name!r} holds truth values ({column[0]}), which are no points in time")


def _example(head: Head) -> str:
    values = head.values.drop_nulls()
    return clip(str(values[0]), 40) if len(values) else "nothing"
