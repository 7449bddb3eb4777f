"""CSV and Parquet tables: columns, units of time, rows that cannot be used."""

import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrec.config import DataConfig
from genrec.data import csv_rows, ingest
from genrec.errors import DataError
from tests.support.data_samples import T0_MS, run_ingest


def _write(folder: Path, csv: str, items: str = "item_id,title\ni1,One\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "interactions.csv").write_text(csv)
    (folder / "items.csv").write_text(items)
    return folder


def _read(folder: Path, share: float = 1.0, **options: object) -> tuple[pl.DataFrame, dict]:
    config = DataConfig(source="table", path=str(folder), options=options, max_quarantine_share=share)
    summary = run_ingest(config, folder / "run")
    return pl.read_parquet(folder / "run/ingest/interactions.parquet"), summary


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("1600000000", "1600000001", (T0_MS, T0_MS + 1000)),
        ("1600000000.25", "1600000001", (T0_MS + 250, T0_MS + 1000)),
        ("1600000000000", "1600000001000", (T0_MS, T0_MS + 1000)),
        ("1600000000000999", "1600000001000000", (T0_MS, T0_MS + 1000)),
        ("1600000000000000000", "1600000001000000000", (T0_MS, T0_MS + 1000)),
        ("2020-09-13T12:26:40Z", "2020-09-13 14:26:41+02:00", (T0_MS, T0_MS + 1000)),
        ("2020-09-13", "2020-09-13T12:26:40.5", (1_599_955_200_000, T0_MS + 500)),
        ("0", "7", (0, 7)),
    ],
)
def test_units_of_time_are_recognised(tmp_path: Path, first: str, second: str, expected: tuple[int, int]) -> None:
    _write(tmp_path, f"user_id,item_id,timestamp\nu,i1,{first}\nu,i2,{second}\n")
    interactions, summary = _read(tmp_path)
    assert tuple(interactions["timestamp"]) == expected
    assert summary["timestamps"] == ("position" if expected[0] == 0 else "clock")


def test_parquet_times_and_whole_number_ids(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"user_id": [7, 7], "item_id": [1, 2], "timestamp": [datetime.datetime(2020, 9, 13, 12, 26, 40)] * 2}
    )
    frame.write_parquet(tmp_path / "interactions.parquet")
    pl.DataFrame({"item_id": [1, 2], "categories": [["A", "B"], None]}).write_parquet(tmp_path / "items.parquet")
    interactions, _ = _read(tmp_path)
    assert list(interactions.select("user_id", "item_id", "timestamp").iter_rows()) == [
        ("7", "1", T0_MS),
        ("7", "2", T0_MS),
    ]
    items = pl.read_parquet(tmp_path / "run/ingest/items.parquet")
    assert items["categories"].to_list() == [["A", "B"], []]


def test_parquet_row_groups_are_read_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 1000
    frame = pl.DataFrame({"user_id": [f"u{n}" for n in range(rows)], "item_id": ["i"] * rows, "timestamp": range(rows)})
    frame.write_parquet(tmp_path / "interactions.parquet", row_group_size=100)
    pl.DataFrame({"item_id": ["i"]}).write_parquet(tmp_path / "items.parquet")
    config = DataConfig(source="table", path=str(tmp_path))
    whole = run_ingest(config, tmp_path / "whole")
    files = ingest.source_files(config)
    cut = ingest.cut_into_shards(files, max_rows=250)
    assert [shard.start for shard in cut] == [0, 2, 4, 6, 8, 0]
    assert run_ingest(config, tmp_path / "cut", cut) == whole
    assert whole["interactions"] == rows


@pytest.mark.parametrize("end_of_line", ["\n", "\r\n"])
def test_a_large_csv_file_without_quotes_is_cut_between_lines(
    end_of_line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"u{n % 7},i{n % 5},{T0_MS + n}" for n in range(600)]
    rows[100], rows[400] = "u1,i1", "u1,i1,no time"
    text = end_of_line.join(["user_id,item_id,timestamp", *rows, ""])
    (tmp_path / "interactions.csv").write_bytes(text.encode())
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f'i{n},"T {n}"\n' for n in range(5)))
    config = DataConfig(source="table", path=str(tmp_path))
    whole = run_ingest(config, tmp_path / "whole")
    monkeypatch.setattr(csv_rows, "WORTH_A_LOOK", 20)
    cut = ingest.cut_into_shards(ingest.source_files(config), max_bytes=1000)
    assert sum(shard.name == "interactions.csv" for shard in cut) > 10
    assert sum(shard.name == "items.csv" for shard in cut) == 1  # a quote may hold a line break
    assert run_ingest(config, tmp_path / "cut", cut) == whole
    for name in ("interactions.parquet", "items.parquet", "quarantine.parquet"):
        assert (tmp_path / "cut/ingest" / name).read_bytes() == (tmp_path / "whole/ingest" / name).read_bytes()
    quarantine = pl.read_parquet(tmp_path / "cut/ingest/quarantine.parquet")
    assert quarantine["line"].to_list() == [102, 402]


def test_columns_can_be_mapped_and_texts_split(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "who;what;when;kind;stars;junk\nu;i1;1;VIEW;4.5;x\nu;i2;2;;;x\n",
        "what;cats\ni1;A > B >\n",
    )
    options: dict[str, Any] = {
        "user_id": "who",
        "item_id": "what",
        "timestamp": "when",
        "event": "kind",
        "rating": "stars",
    }
    options |= {"categories": "cats", "delimiter": ";", "category_delimiter": ">"}
    interactions, _ = _read(tmp_path, ignore=["junk"], **options)
    assert list(interactions.iter_rows()) == [("u", "i1", 1, "view", 4.5), ("u", "i2", 2, "purchase", None)]
    assert pl.read_parquet(tmp_path / "run/ingest/items.parquet")["categories"].to_list() == [["A", "B"]]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("user_id,item_id,timestamp,ratting", r"unknown column 'ratting'\. Did you mean 'rating'\?"),
        ("userid,item_id,timestamp", r"no column 'user_id'; .* Did you mean 'userid'\? Map it with data\.options"),
        ("user_id,item_id,timestamp,user_id", "twice"),
        ("", r"interactions\.csv: empty"),
    ],
)
def test_unknown_and_missing_columns_are_named_with_a_guess(tmp_path: Path, header: str, message: str) -> None:
    _write(tmp_path, header + "\n" if header else "")
    with pytest.raises(DataError, match=message):
        _read(tmp_path)


def test_a_missing_file_is_named_with_what_is_there(tmp_path: Path) -> None:
    _write(tmp_path, "user_id,item_id,timestamp\n")
    (tmp_path / "items.csv").rename(tmp_path / "products.csv")
    with pytest.raises(
        DataError, match=r"no items\.parquet or items\.csv .* it holds interactions\.csv, products\.csv"
    ):
        _read(tmp_path)


def test_bad_rows_of_a_csv_file_are_set_aside_with_their_lines(tmp_path: Path) -> None:
    good = [f"u{n},i{n % 3},16000000{n:02d},4" for n in range(20)]
    bad = [
        ("bad_csv", "u1,i1"),
        ("bad_csv", "u1,i1,1600000000,4,extra"),
        ("missing_user", ",i1,1600000000,4"),
        ("missing_item", "u1, ,1600000000,4"),
        ("wrong_type", "u1,i1,soon,4"),
        ("wrong_type", "u1,i1,1600000000,four"),
        ("bad_timestamp", "u1,i1,,4"),
        ("bad_timestamp", "u1,i1,-3,4"),
        ("bad_rating", "u1,i1,1600000000,nan"),
        ("bad_rating", "u1,i1,1600000000,inf"),
        ("bad_rating", "u1,i1,1600000000,-1e39"),
        ("duplicate_event", good[0]),
    ]
    lines = ["user_id,item_id,timestamp,rating", *good, *(line for _, line in bad)]
    _write(tmp_path, "\n".join(lines) + "\n")
    with (tmp_path / "interactions.csv").open("ab") as file:
        file.write(b"caf\xe9,i1,1600000000,4\n")
    interactions, _ = _read(tmp_path)
    found = pl.read_parquet(tmp_path / "run/ingest/quarantine.parquet")
    expected = [*((22 + n, reason) for n, (reason, _) in enumerate(bad)), (34, "bad_utf8")]
    assert list(found.select("line", "reason").iter_rows()) == expected
    assert interactions.height == len(good)
    assert "caf\\xe9" in found["record"][-1]


def test_quoted_fields_may_span_lines(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "user_id,item_id,timestamp\nu,i1,1\nu,,2\n",
        'item_id,title\ni1,"two\nlines, one title"\n,"lost"\n',
    )
    _read(tmp_path)
    assert pl.read_parquet(tmp_path / "run/ingest/items.parquet")["title"].to_list() == ["two\nlines, one title"]
    found = pl.read_parquet(tmp_path / "run/ingest/quarantine.parquet").select("file", "line", "reason")
    assert list(found.iter_rows()) == [("interactions.csv", 3, "missing_item"), ("items.csv", 4, "missing_item")]


def test_parts_that_come_later_are_read_with_the_first_file(tmp_path: Path) -> None:
    _write(tmp_path, "user_id,item_id,timestamp\nu,i1,1600000000\n")
    (tmp_path / "interactions-2.csv").write_text("user_id,item_id,timestamp\nu,i2,1600000001\n")
    (tmp_path / "items-2.csv").write_text("item_id,title\ni2,Two\n")
    before = ingest.fingerprint(DataConfig(source="table", path=str(tmp_path)))
    (tmp_path / "interactions").mkdir()
    pl.DataFrame({"user_id": ["v"], "item_id": ["i1"], "timestamp": [1600000002]}).write_parquet(
        tmp_path / "interactions" / "wednesday.parquet"
    )
    (tmp_path / "interactions" / "notes.txt").write_text("not read")
    after = ingest.fingerprint(DataConfig(source="table", path=str(tmp_path)))
    assert set(after) - set(before) == {"interactions/wednesday.parquet"}
    interactions, _ = _read(tmp_path)
    assert sorted(interactions.select("user_id", "item_id").iter_rows()) == [("u", "i1"), ("u", "i2"), ("v", "i1")]
    items = pl.read_parquet(tmp_path / "run/ingest/items.parquet")
    assert dict(items.select("item_id", "title").iter_rows()) == {"i1": "One", "i2": "Two"}


def test_a_named_file_stands_alone(tmp_path: Path) -> None:
    _write(tmp_path, "user_id,item_id,timestamp\nu,i1,1600000000\n")
    (tmp_path / "interactions-2.csv").write_text("user_id,item_id,timestamp\nu,i2,1600000001\n")
    interactions, _ = _read(tmp_path, interactions="interactions.csv")
    assert list(interactions["item_id"]) == ["i1"]


@pytest.mark.parametrize(
    ("one", "other", "units"),
    [
        ("2020-09-13", "20200919", "dates in a.* dates in digits in b"),
        ("1600000000", "1600000000000", "seconds in a.* milliseconds in b"),
        ("1600000000000000", "1600000000", "microseconds in a.* seconds in b"),
        ("1600000000", "0", "seconds in a.* only zeros in b"),
        ("2020-09-13", "1600000000", "dates in a.* seconds in b"),
        ("3", "1600000000", "positions in a.* seconds in b"),
    ],
)
def test_two_units_in_two_files_are_refused_by_the_names_of_both(
    tmp_path: Path, one: str, other: str, units: str
) -> None:
    _write(tmp_path, f"user_id,item_id,timestamp\nu,i1,{one}\n")
    (tmp_path / "interactions-2.csv").write_text(f"user_id,item_id,timestamp\nv,i1,{other}\n")
    message = units.replace(" a", r" interactions\.csv").replace(" b", r" interactions-2\.csv").replace(".*", r" \(.*")
    with pytest.raises(DataError, match=message):
        _read(tmp_path)


@pytest.mark.parametrize(
    ("times", "what"),
    [
        (["2019", "2020"], "years"),
        (["true", "False"], "truth values"),
        (["0", "0"], "every timestamp is 0"),
    ],
)
def test_years_truth_values_and_zeros_are_no_times(tmp_path: Path, times: list[str], what: str) -> None:
    _write(tmp_path, "user_id,item_id,timestamp\n" + "".join(f"u,i{n},{time}\n" for n, time in enumerate(times)))
    with pytest.raises(DataError, match=rf"interactions\.csv: .*{what}"):
        _read(tmp_path)


def test_zeros_among_times_are_set_aside_and_do_not_decide_the_unit(tmp_path: Path) -> None:
    rows = [f"u{n},i1,{0 if n < 7 else 1600000000}" for n in range(10)]
    _write(tmp_path, "\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    interactions, summary = _read(tmp_path)
    assert interactions["timestamp"].to_list() == [T0_MS] * 3
    assert summary["quarantined"] == {"bad_timestamp": 7}


def test_dates_in_digits_and_dates_of_two_formats_are_read(tmp_path: Path) -> None:
    _write(tmp_path, "user_id,item_id,timestamp\nu,i1,20200913\nu,i2,20200913122640\n")
    assert _read(tmp_path)[0]["timestamp"].to_list() == [1_599_955_200_000, T0_MS]
    _write(tmp_path / "b", "user_id,item_id,timestamp\nu,i1,2020-09-13\n")
    moment = datetime.datetime(2020, 9, 13, 12, 26, 40)
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["i2"], "timestamp": [moment]})
    frame.write_parquet(tmp_path / "b/interactions-2.parquet")
    assert _read(tmp_path / "b")[0]["timestamp"].to_list() == [1_599_955_200_000, T0_MS]


def test_a_quote_that_is_never_closed_costs_its_own_line(tmp_path: Path) -> None:
    events = [f"u{n},i{n % 12},{1600000000 + n}" for n in range(210)]
    events[3] = events[3].replace(",i", ',"i')
    items = [f"i{n},Title {n}" for n in range(12)]
    items[6] = 'i6,"Title 6'
    items[9] = 'i9,"A, b"'
    _write(
        tmp_path, "\n".join(["user_id,item_id,timestamp", *events]) + "\n", "\n".join(["item_id,title", *items]) + "\n"
    )
    interactions, _ = _read(tmp_path)
    assert interactions.height == 209
    titles = dict(pl.read_parquet(tmp_path / "run/ingest/items.parquet").select("item_id", "title").iter_rows())
    assert titles == {f"i{n}": "A, b" if n == 9 else f"Title {n}" for n in range(12) if n != 6}
    found = pl.read_parquet(tmp_path / "run/ingest/quarantine.parquet").select("file", "line", "reason", "record")
    assert list(found.iter_rows()) == [
        ("interactions.csv", 5, "bad_csv", 'u3,"i3,1600000003'),
        ("items.csv", 8, "bad_csv", 'i6,"Title 6'),
    ]


def test_a_field_of_more_lines_than_the_limit_is_set_aside_line_by_line(tmp_path: Path) -> None:
    text = 'item_id,title\ni1,"one\ntwo\nthree"\ni2,Two\n'
    _write(tmp_path, "user_id,item_id,timestamp\nu,i1,1\nu,i2,2\n", text)
    _read(tmp_path, max_field_lines=2)
    found = pl.read_parquet(tmp_path / "run/ingest/quarantine.parquet").select("line", "detail")
    assert found["line"].to_list() == [2, 3, 4]
    assert found["detail"][0] == "a quote opens a field that does not end within 2 lines"
    _read(tmp_path, max_field_lines=3)
    assert pl.read_parquet(tmp_path / "run/ingest/items.parquet")["title"].to_list() == ["one\ntwo\nthree", "Two"]


def test_words_for_nothing_are_nobody_and_no_title(tmp_path: Path) -> None:
    words = ["nan", "None", "<NA>", "null"]
    events = (
        [f"{word},i1,1600000000" for word in words] + [f"u,{word},1600000000" for word in words] + ["u,i1,1600000000"]
    )
    items = [f"i{n},{word},{word},{word},{word}" for n, word in enumerate(words)]
    header = "item_id,title,description,brand,categories"
    _write(tmp_path, "\n".join(["user_id,item_id,timestamp", *events]) + "\n", "\n".join([header, *items]) + "\n")
    interactions, summary = _read(tmp_path)
    assert interactions.select("user_id", "item_id").rows() == [("u", "i1")]
    assert summary["quarantined"] == {"missing_item": 4, "missing_user": 4}
    assert summary["changes"] == {"missing_words": 8 + 16}
    texts = pl.read_parquet(tmp_path / "run/ingest/items.parquet").drop("item_id").unique()
    assert texts.rows() == [("", "", "", [])]
