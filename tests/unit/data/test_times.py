"""Times of any form, and the unit that numbers are in."""

import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.times import Head, iso_milliseconds, times, unit_of
from genrec.errors import DataError

HALF_PAST_TEN = 1_577_874_600_000  # 2020-01-01T10:30Z


@settings(max_examples=80, deadline=None)
@given(
    st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2099, 1, 1)),
    st.sampled_from([None, 0, 330, -480]),
)
def test_iso_times_agree_with_the_standard_library(moment: datetime.datetime, offset: int | None) -> None:
    zone = datetime.UTC if offset is None else datetime.timezone(datetime.timedelta(minutes=offset))
    aware = moment.replace(tzinfo=zone)
    text = (moment if offset is None else aware).isoformat()
    expected = (aware - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(milliseconds=1)
    assert iso_milliseconds(pl.Series("t", [text, "2020-13-01", "2020-01-01T25:00", "now", None])).to_list() == [
        expected,
        None,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-01-01T10:30", HALF_PAST_TEN),
        ("2020-01-01 10:30:00,5", HALF_PAST_TEN + 500),
        ("2020-01-01T10:30:00.123999999z", HALF_PAST_TEN + 123),
        ("2020-01-01 12:30+02", HALF_PAST_TEN),
        ("2020-01-01T07:00:00 -0330", HALF_PAST_TEN),
        ("2020-01-01", HALF_PAST_TEN - 37_800_000),
        ("2020-01-01+01:00", HALF_PAST_TEN - 41_400_000),
        ("2090-01-01T10:30Z", HALF_PAST_TEN + 2_209_075_200_000),
        ("1969-12-31T23:59:59.5", -500),
        ("2020-01-01 10:30:00 UTC", HALF_PAST_TEN),
        ("2020-01-01 10:30 GMT", HALF_PAST_TEN),
        ("2020-01-01T12:30+02:00[Europe/Paris]", HALF_PAST_TEN),
        ("2020-01-01 10:30:00 CET", None),
        ("2020-02-30", None),
        ("2020-1-1", None),
        ("2020-01-01T24:00", None),
        ("2020-01-01T10:60", None),
        ("2020-01-01T10:30:60", None),
        ("2020-01-01T10:30:00.", None),
        ("2020-01-01T10", None),
        ("2020-01-01T10:30+99:99", None),
        ("20200101", None),
    ],
)
def test_which_texts_are_times(text: str, expected: int | None) -> None:
    assert iso_milliseconds(pl.Series("t", ["2020-01-01", text])).to_list()[1] == expected


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (["1", "2", "99999999"], "position"),
        (["1600000000", "soon", "1600000001"], "s"),
        ([1600000000000], "ms"),
        ([1600000000000000, None], "us"),
        ([1600000000000000000], "ns"),
        (["2020-01-01", "2020-01-02", "7"], "iso"),
        ([], ""),
        ([datetime.datetime(2020, 1, 1)], "iso"),
        ([0, 0, 0, 1600000000], "s"),
        ([0, 0], "zeros"),
        ([0, 1, 2020], "position"),
        ([20200913, 20191231], "compact"),
        (["20200913122640", "0"], "compact"),
        ([20200913, 20209913], "position"),
    ],
)
def test_the_unit_is_told_by_the_median(values: list, unit: str) -> None:
    assert unit_of(Head("a.csv", pl.Series("t", values))) == unit


@pytest.mark.parametrize(
    "values",
    [[20200101, None], [20200101.0, None], [20200101.0, float("nan")], ["20200101.0", ""], ["20200101 ", None]],
)
def test_dates_in_digits_may_have_become_floats(values: list) -> None:
    column = pl.Series("t", values, strict=False)
    assert unit_of(Head("a.csv", column)) == "compact"
    time, wrong = times("a.csv", column, "compact")
    assert (time.to_list(), wrong.to_list()) == ([1577836800000.0, None], [None, None])


def test_a_fraction_of_a_date_in_digits_is_no_time() -> None:
    time, wrong = times("a.csv", pl.Series("t", [20200101.5, 20200101122640.0]), "compact")
    assert time.to_list() == [None, 1577881600000.0]
    assert wrong.is_null().to_list() == [False, True]


def test_times_of_a_float32_are_refused_where_it_rounds_them():
    rounded = pl.Series("t", [1_600_000_000, 1_600_000_030], dtype=pl.Float32)
    for read in (lambda: times("a.parquet", rounded, "s"), lambda: unit_of(Head("a.parquet", rounded))):
        with pytest.raises(DataError, match=r"a\.parquet: column 't' holds Float32, which rounds.*write whole numbers"):
            read()
    positions = pl.Series("t", [0, 1, None, 2**24 - 1], dtype=pl.Float32)
    assert times("a.parquet", positions, "position")[0].to_list() == [0, 1, None, 2**24 - 1]
    assert times("a.parquet", pl.Series("t", [1, float("inf")], dtype=pl.Float32), "position")[0].to_list()[0] == 1


def test_times_that_a_spreadsheet_has_shortened_are_refused():
    shortened = pl.Series("t", ["1.6E+12", " 1.60012E+12", None, "1600000000000"])
    for read in (lambda: times("a.csv", shortened, "ms"), lambda: unit_of(Head("a.csv", shortened))):
        with pytest.raises(DataError, match=r"a\.csv: column 't' holds 1\.6E\+12.*digits are lost"):
            read()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1_500_000_000, 1_700_000_000), min_size=3, max_size=9))
def test_times_that_a_program_writes_in_scientific_notation_keep_their_digits(seconds):
    texts = [f"{second + 0.123456:.15e}" for second in seconds]
    found, wrong = times("a.csv", pl.Series("t", texts), "s")
    assert found.to_list() == [second * 1000 + 123 for second in seconds]
    assert not wrong.drop_nulls().len()


def test_a_time_that_is_exact_in_its_shortest_form_is_read_among_others():
    days = pl.Series("t", ["1403913600", "1.404e+09", "1404086400", "1404172800"])
    assert times("a.csv", days, "s")[0].to_list() == [
        1_403_913_600_000,
        1_404_000_000_000,
        1_404_086_400_000,
        1_404_172_800_000,
    ]
