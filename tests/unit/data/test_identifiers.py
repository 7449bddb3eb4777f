"""Ids by one rule: what is the same id is written alike, and an id that was rounded is refused."""

import decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.identifiers import MISSING_WORDS, ids
from genrec.errors import DataError


def _ids(values: list, dtype: object = None) -> tuple[list, list, dict]:
    found = ids("a.parquet", pl.Series("user_id", values, dtype=dtype))  # type: ignore[arg-type]
    return found.values.to_list(), found.refused.to_list(), found.changes


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (" 7 ", "7"),
        ("7.0", "7"),
        ("-7.000", "-7"),
        ("\u00a0a\t", "a"),
        ("007", "007"),
        ("007.0", "007"),
        ("7.5", "7.5"),
        ("1.0.0", "1.0.0"),
        ("12E4", "12E4"),
        ("a b", "a b"),
        ("Nan", "Nan"),
        ("9007199254740991.0", "9007199254740991"),
        ("9007199254740993", "9007199254740993"),
    ],
)
def test_blanks_and_fractions_of_zeros_go_and_all_else_stays(written: str, meant: str) -> None:
    values, refused, changes = _ids([written, "x"])
    assert values == [meant, "x"]
    assert refused == [None, None]
    assert changes == ({} if written == meant else {"cleaned_ids": 1})


@pytest.mark.parametrize("word", MISSING_WORDS)
def test_words_for_a_missing_value_are_missing_and_counted(word: str) -> None:
    assert _ids([word, f" {word} ", "x"]) == ([None, None, "x"], [None] * 3, {"missing_words": 2})


@pytest.mark.parametrize(
    "written", ["4.0E+12", "4e+12", "1.5e3", "9007199254740992.0", "12345678901234567890.0", "a\nb"]
)
def test_an_id_whose_digits_are_lost_is_refused(written: str) -> None:
    values, (why, _), changes = _ids([written, "x"])
    assert values == [None, "x"]
    assert "user_id" in why
    assert not changes


@pytest.mark.parametrize(
    ("values", "dtype", "meant", "refused"),
    [
        ([7.0, None, float("nan")], pl.Float64, ["7", None, None], []),
        ([float(2**53)], pl.Float64, [None], ["Float64 rounds"]),
        ([float(2**24)], pl.Float32, [None], ["Float32 rounds"]),
        ([float("inf")], pl.Float64, [None], ["rounds"]),
        ([7.5], pl.Float64, [None], ["user_id is 7.5; ids are text or whole numbers"]),
        ([2**63], pl.UInt64, [str(2**63)], []),
        ([decimal.Decimal("7.00"), decimal.Decimal("7.50")], pl.Decimal(9, 2), ["7", None], ["7.50, a fraction"]),
        ([b"caf\xc3\xa9"], pl.Binary, ["café"], []),
        ([" 7.0"], pl.Categorical, ["7"], []),
        ([None], pl.Null, [None], []),
    ],
)
def test_ids_of_any_type_become_text(values: list, dtype: object, meant: list, refused: list[str]) -> None:
    found, why, _ = _ids(values, dtype)
    assert found == meant
    said = [text for text in why if text]
    assert len(said) == len(refused)
    assert all(part in text for part, text in zip(refused, said, strict=True))


@pytest.mark.parametrize("dtype", [pl.Boolean, pl.Date, pl.List(pl.String)])
def test_other_types_are_refused_by_file_and_column(dtype: pl.DataType) -> None:
    with pytest.raises(DataError, match=r"a\.parquet: column 'user_id' holds .*ids are text or whole numbers"):
        ids("a.parquet", pl.Series("user_id", [None], dtype=dtype))


@given(st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=1))
def test_whole_numbers_are_the_same_ids_in_every_type(numbers: list[int]) -> None:
    meant = [str(n) for n in numbers]
    for column in (
        numbers,
        [float(n) for n in numbers],
        meant,
        [f"{n}.0" for n in numbers],
        [f" {n} " for n in numbers],
    ):
        assert _ids(column)[0] == meant
