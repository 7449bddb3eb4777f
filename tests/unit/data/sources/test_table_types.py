"""Columns of types and files in dialects that people have: read, or refused by file, column and fix."""

import datetime
import decimal
import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.config import DataConfig
from genrec.data import ingest
from genrec.errors import DataError
from tests.support.data_samples import T0_MS, run_ingest

NOON = datetime.datetime(2020, 9, 13, 12, 26, 40)
HEADER = "user_id,item_id,timestamp"


def _read(folder: Path, **options: Any) -> pl.DataFrame:
    (folder / "items.csv").write_text("item_id\ni\n") if not (folder / "items.csv").exists() else None
    config = DataConfig(source="table", path=str(folder), options=options, max_quarantine_share=0.5)
    run_ingest(config, folder / "run")
    return pl.read_parquet(folder / "run/ingest/interactions.parquet")


def _events(folder: Path, **columns: pa.Array) -> Path:
    base = {"user_id": pa.array(["u", "v"]), "item_id": pa.array(["i", "i"]), "timestamp": pa.array([NOON, NOON])}
    pq.write_table(pa.table({**base, **columns}), folder / "interactions.parquet")
    return folder


def test_pandas_categories_are_read_by_their_values(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "user_id": [1, 2],
            "item_id": ["i", "i"],
            "timestamp": ["2020-09-13T12:26:40", "2020-09-13"],
            "rating": [4.5, 2.0],
        }
    )
    frame.astype("category").to_parquet(tmp_path / "interactions.parquet")
    rows = list(_read(tmp_path).iter_rows())
    assert rows == [("1", "i", T0_MS, "purchase", 4.5), ("2", "i", T0_MS - 44_800_000, "purchase", 2.0)]


def test_one_nan_in_a_float_id_column_costs_one_row(tmp_path: Path) -> None:
    assert _read(_events(tmp_path, user_id=pa.array([7.0, float("nan")])))["user_id"].to_list() == ["7"]
    quarantine = pl.read_parquet(tmp_path / "run/ingest/quarantine.parquet")
    assert list(quarantine.select("line", "reason").iter_rows()) == [(2, "missing_user")]


def test_floats_that_are_rounded_already_are_no_ids(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"2 of 2 rows .* bad_id .*item_id is 9007199254740992\.0, a number that Float64 rounds"
    ):
        _read(_events(tmp_path, item_id=pa.array([2.0**53, 2.0**60])))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("timestamp", pa.array([datetime.timedelta(1)] * 2), r"holds Duration.*no point in time; write dates"),
        ("timestamp", pa.array([datetime.time(1)] * 2), r"holds Time.*no point in time"),
        ("timestamp", pa.array([True, False]), r"holds Boolean, which is no point in time"),
        ("timestamp", pa.array([[1], [2]]), r"holds List"),
        ("rating", pa.array([datetime.timedelta(1)] * 2), r"holds Duration.*; write numbers"),
        ("rating", pa.array([[1.0], [2.0]]), r"holds List.*; write numbers"),
        ("user_id", pa.array([NOON, NOON]), r"ids are text or whole numbers"),
        ("event", pa.array([{"a": 1}, {"a": 2}]), r"cannot be read \(.*; write it as text, numbers or dates"),
        ("event", pa.array([b"\xff", b"\xfe"]), r"cannot be read \(.*; write it as text"),
    ],
)
def test_a_type_that_a_column_cannot_have_is_refused_by_file_column_and_fix(
    tmp_path: Path, column: str, values: pa.Array, message: str
) -> None:
    with pytest.raises(DataError, match=rf"interactions\.parquet: column '{column}' .*{message}"):
        _read(_events(tmp_path, **{column: values}))


@pytest.mark.parametrize(
    ("column", "values", "meant"),
    [
        ("timestamp", pa.array([datetime.date(2020, 9, 13)] * 2), T0_MS - 44_800_000),
        ("timestamp", pa.array([NOON] * 2, pa.timestamp("ns", "Europe/Paris")), T0_MS),
        ("timestamp", pa.array([decimal.Decimal("1600000000.25")] * 2), T0_MS + 250),
        ("timestamp", pa.array(["1600000000"] * 2).dictionary_encode(), T0_MS),
        ("rating", pa.array([decimal.Decimal("4.5")] * 2), 4.5),
        ("rating", pa.array(["4.5"] * 2).dictionary_encode(), 4.5),
        ("rating", pa.array([True, True]), 1.0),
        ("user_id", pa.array([uuid.UUID(int=7).bytes] * 2, pa.uuid()), "00000000-0000-0000-0000-000000000007"),
        ("user_id", pa.array([7, 7]).dictionary_encode(), "7"),
        ("item_id", pa.array([b"i"] * 2), "i"),
        ("event", pa.array([None, None]), "purchase"),
    ],
)
def test_types_that_say_the_same_are_read_alike(tmp_path: Path, column: str, values: pa.Array, meant: object) -> None:
    folder = _events(tmp_path, **{column: values})
    assert set(_read(folder, **({"default_event": "purchase"}))[column]) == {meant}


def test_a_column_twice_in_parquet_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays(
        [pa.array(["u"])] * 2 + [pa.array(["i"]), pa.array([1])], ["user_id", "user_id", "item_id", "timestamp"]
    )
    pq.write_table(table, tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match=r"interactions\.parquet: column 'user_id' occurs twice"):
        _read(tmp_path)


@pytest.mark.parametrize(("delimiter", "told"), [(";", ";"), ("\t", "\\t"), ("\t", "\t"), ("|", "|")])
def test_another_delimiter_is_named_and_can_be_told(tmp_path: Path, delimiter: str, told: str) -> None:
    (tmp_path / "interactions.csv").write_text(f"{HEADER}\nu,i,1600000000\n".replace(",", delimiter))
    with pytest.raises(DataError, match=r"delimiter looks like .*: set data\.options\.delimiter") as refused:
        _read(tmp_path)
    assert repr(delimiter) in str(refused.value)
    (tmp_path / "interactions.csv").write_text(
        '"user_id","item_id","timestamp"\nu,i,1600000000\n'.replace(",", delimiter)
    )
    with pytest.raises(
        DataError, match=r"line 1.* is no row of CSV .*delimiter looks like .*: set data\.options\.delimiter"
    ):
        _read(tmp_path)
    assert _read(tmp_path, delimiter=told).height == 1


@pytest.mark.parametrize("named", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named_and_can_be_told(tmp_path: Path, named: str) -> None:
    (tmp_path / "interactions.csv").write_bytes(f"{HEADER}\ncafé,i,1600000000\n".encode(named))
    (tmp_path / "items.csv").write_bytes("item_id\ni\n".encode(named))
    with pytest.raises(
        DataError, match=rf"interactions\.csv: is written in {named}; .*data\.options\.encoding: {named}"
    ):
        _read(tmp_path)
    assert _read(tmp_path, encoding=named)["user_id"].to_list() == ["café"]


def test_latin_1_is_named_and_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv.gz").write_bytes(gzip.compress(f"{HEADER}\ncafé,i,1600000000\n".encode("cp1252")))
    with pytest.raises(DataError, match=r"bad_utf8 .*byte 0xe9 .* set data\.options\.encoding \(to cp1252"):
        _read(tmp_path)
    assert _read(tmp_path, encoding="cp1252")["user_id"].to_list() == ["café"]
    with pytest.raises(DataError, match=r"data\.options\.encoding: there is no encoding 'latin-x'"):
        _read(tmp_path, encoding="latin-x")
    (tmp_path / "interactions.csv.gz").write_bytes(gzip.compress(f"{HEADER},Stück\n".encode("cp1252")))
    with pytest.raises(DataError, match=r"the header is not UTF-8 \(user_id.*; set data\.options\.encoding"):
        _read(tmp_path)


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\x03\x04rest", "zip archive"),
        (b"PAR1\x15rest", "Parquet"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (b"\xfd7zXZ\x00", "xz"),
    ],
)
def test_a_file_that_is_no_text_is_named_by_its_first_bytes(tmp_path: Path, start: bytes, what: str) -> None:
    (tmp_path / "interactions.csv").write_bytes(start)
    with pytest.raises(DataError, match=rf"interactions\.csv: begins like an? {what}.*; "):
        _read(tmp_path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (json.dumps([{"user_id": "u"}]), "a JSON array; write one object a line"),
        (json.dumps([{"user_id": "u"}], indent=1), "a JSON array"),
        (json.dumps({"user_id": "u"}, indent=1), "a JSON document over several lines"),
        (str({"user_id": "u"}), r"a Python dict, no JSON; write each row with json\.dumps"),
        ("\n" + str({"user_id": "u"}), "a Python dict"),
    ],
)
def test_what_is_no_json_lines_is_named_by_its_beginning(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=rf"a\.json: begins with .*, {what}"):
        ingest.source_files(DataConfig(source="amazon2018", path=str(tmp_path)))


def test_nan_and_python_dicts_within_json_lines_are_named(tmp_path: Path) -> None:
    good = {"user_id": "u", "parent_asin": "i", "timestamp": T0_MS}
    lines = [
        json.dumps(good),
        json.dumps({**good, "rating": float("nan")}),
        str(good),
        '{"user_id": NaN',
        '{"a": "NaN"',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    run_ingest(DataConfig(source="amazon2023", path=str(tmp_path), max_quarantine_share=1.0), tmp_path)
    details = pl.read_parquet(tmp_path / "ingest/quarantine.parquet")["detail"].to_list()
    assert details[0] == "NaN and Infinity are no JSON; write null for a missing value"
    assert details[1].startswith("a Python dict with single quotes")
    assert not any("NaN and" in detail for detail in details[2:])


def test_zone_words_are_read_or_the_formats_are_listed(tmp_path: Path) -> None:
    good = "\n".join(f"u{n},i,2020-09-13 12:26:40 {zone}" for n, zone in enumerate(["UTC", "GMT", "Z"]))
    (tmp_path / "interactions.csv").write_text(f"{HEADER}\n{good}\nv,i,2020-09-13 12:26:40 CEST\n")
    assert _read(tmp_path)["timestamp"].to_list() == [T0_MS] * 3
    (detail,) = pl.read_parquet(tmp_path / "run/ingest/quarantine.parquet")["detail"]
    assert detail == (
        "timestamp is 2020-09-13 12:26:40 CEST; times are written 2020-09-13, 2020-09-13T12:26:40.5, with Z, UTC, GMT or "
        "an offset (+02:00)"
    )
