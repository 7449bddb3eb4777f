"""Poison input is set aside, by name, and never changes what is read of the rest."""

import gzip
import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.config import DataConfig
from genrec.data import reading
from genrec.data.quarantine import typed_values
from genrec.errors import DataError
from tests.support.data_samples import T0_MS, review, run_ingest, write_lines

GOOD = [review(f"u{n % 97}", f"i{n % 31}", n, event=("click", "purchase")[n % 2]) for n in range(2400)]


def _dumps(**values: object) -> bytes:
    return json.dumps({**review("poison", "i0", 1), **values}).encode()


POISON: list[tuple[str, bytes]] = [
    ("bad_json", b'{"user_id": "u1", "parent_'),
    ("bad_json", b'{"user_id": NaN}'),
    ("bad_utf8", b'{"user_id": "caf\xe9", "parent_asin": "i1", "timestamp": 1600000000000}'),
    ("wrong_type", b'["not", "an", "object"]'),
    ("missing_user", _dumps(user_id=None)),
    ("missing_user", _dumps(user_id="  ")),
    ("missing_item", _dumps(parent_asin="")),
    ("wrong_type", _dumps(user_id=17)),
    ("wrong_type", _dumps(timestamp="2020-01-01")),
    ("wrong_type", _dumps(rating="five")),
    ("wrong_type", _dumps(rating=True)),
    ("wrong_type", _dumps(verified_purchase="yes")),
    ("bad_timestamp", _dumps(timestamp=None)),
    ("bad_timestamp", _dumps(timestamp=-5)),
    ("bad_timestamp", _dumps(timestamp=T0_MS // 1000)),  # seconds where milliseconds belong
    ("bad_timestamp", _dumps(timestamp=10**25)),
    ("bad_timestamp", _dumps(timestamp=T0_MS + 0.5)),
    ("bad_rating", _dumps(rating=11)),
    ("bad_rating", _dumps(rating=-1.0)),
    ("duplicate_event", b""),  # a copy of the row before
]


def _mixed(places: list[int]) -> tuple[list, Counter, list[tuple[int, str]]]:
    """The good rows with one kind of poison after each of `places`, the reasons, and (line, reason) of each."""
    at = dict(zip(sorted(places), range(len(places)), strict=True))
    rows: list = []
    where = []
    for place, row in enumerate(GOOD):
        rows.append(row)
        if place in at:
            reason, line = POISON[at[place] % len(POISON)]
            rows.append(row if reason == "duplicate_event" else line)
            where.append((len(rows), reason))
    return rows, Counter(reason for _, reason in where), where


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    write_lines(folder / "in/a.jsonl", GOOD)
    assert run_ingest(DataConfig(source="amazon2023", path=str(folder / "in")), folder)["quarantined"] == {}
    return folder / "ingest"


@settings(max_examples=8, deadline=None)
@given(st.sets(st.integers(0, len(GOOD) - 1), min_size=20, max_size=24))
def test_all_that_is_injected_is_quarantined_and_the_rest_is_untouched(
    clean: Path, tmp_path_factory: pytest.TempPathFactory, places: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("poison")
    rows, reasons, where = _mixed(list(places))
    write_lines(folder / "in/a.jsonl", rows)
    summary = run_ingest(DataConfig(source="amazon2023", path=str(folder / "in")), folder)
    assert summary["quarantined"] == dict(reasons)
    found = pl.read_parquet(folder / "ingest/quarantine.parquet")
    assert list(found.select("line", "reason").iter_rows()) == where
    assert set(found["file"]) == {"a.jsonl"}
    assert all(found["detail"].str.len_chars() > 0)
    assert (folder / "ingest/interactions.parquet").read_bytes() == (clean / "interactions.parquet").read_bytes()


def test_too_many_bad_rows_stop_the_run_and_name_file_line_and_reason(tmp_path: Path) -> None:
    rows = [*GOOD[:50], *(_dumps(rating=99) for _ in range(5)), b"{"]
    write_lines(tmp_path / "in/a.jsonl", rows)
    config = DataConfig(source="amazon2023", path=str(tmp_path / "in"))
    with pytest.raises(
        DataError, match=r"6 of 56 rows .*bad_rating \(5 rows\), first in a\.jsonl line 51: rating is 99"
    ):
        run_ingest(config, tmp_path)
    assert pl.read_parquet(tmp_path / "ingest/quarantine.parquet").height == 6
    lenient = config.model_copy(update={"max_quarantine_share": 0.2})
    assert run_ingest(lenient, tmp_path / "lenient")["interactions"] == 50


def test_good_items_do_not_excuse_lost_interactions(tmp_path: Path) -> None:
    write_lines(tmp_path / "in/a.jsonl", [*GOOD[:5], b"{", b"{"])
    write_lines(tmp_path / "in/meta_a.jsonl", [{"parent_asin": f"i{n}", "title": "t"} for n in range(1000)])
    with pytest.raises(DataError, match="rows of interactions"):
        run_ingest(DataConfig(source="amazon2023", path=str(tmp_path / "in")), tmp_path)


def test_items_that_cannot_be_used_are_quarantined(tmp_path: Path) -> None:
    write_lines(tmp_path / "in/a.jsonl", GOOD[:40])
    metadata = [
        {"parent_asin": "i1", "title": "first"},
        {"parent_asin": "i1", "title": "second"},
        {"title": "nobody's"},
        {"parent_asin": "i2", "title": 3},
        {"parent_asin": "i3", "title": None, "description": {"a": 1}},
        b"{",
    ]
    write_lines(tmp_path / "in/meta_a.jsonl", metadata)
    config = DataConfig(
        source="amazon2023", path=str(tmp_path / "in"), max_quarantine_share=1.0, max_share_without_metadata=1.0
    )
    summary = run_ingest(config, tmp_path)
    assert summary["quarantined"] == {"bad_json": 1, "duplicate_item": 1, "missing_item": 1, "wrong_type": 2}
    assert pl.read_parquet(tmp_path / "ingest/items.parquet")["title"].to_list() == ["first"]


def _read_all(path: Path) -> tuple[list[bytes], reading.LineReader]:
    reader = reading.LineReader(path, path.name)
    return [line for _, lines in reader for line in lines], reader


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(1, 4000))
def test_a_truncated_gzip_file_is_read_up_to_the_cut(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    rows = [json.dumps(row).encode() for row in GOOD[:400]]
    packed = gzip.compress(b"\n".join(rows) + b"\n", mtime=0)
    path = tmp_path_factory.mktemp("cut") / "a.jsonl.gz"
    path.write_bytes(packed[: max(20, len(packed) - cut)])
    lines, reader = _read_all(path)
    assert reader.cut is not None
    assert lines == rows[: len(lines)]
    assert (b"\n".join(rows) + b"\n").startswith(b"\n".join([*lines, reader.cut.tail]))
    assert reader.cut.line == len(lines) + 1


def test_a_truncated_file_is_one_quarantine_row(tmp_path: Path) -> None:
    packed = gzip.compress(b"\n".join(json.dumps(row).encode() for row in GOOD), mtime=0)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    summary = run_ingest(DataConfig(source="amazon2023", path=str(tmp_path / "in")), tmp_path)
    assert summary["quarantined"] == {"truncated_file": 1}
    assert pl.read_parquet(tmp_path / "ingest/quarantine.parquet")["line"].to_list() == [summary["interactions"] + 1]


def test_a_damaged_gzip_file_is_read_up_to_the_damage(tmp_path: Path) -> None:
    rows = [json.dumps(row).encode() for row in GOOD]
    packed = bytearray(gzip.compress(b"\n".join(rows), mtime=0))
    packed[-6] ^= 0xFF  # the checksum: every byte of data is there
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed)
    lines, reader = _read_all(path)
    assert lines == rows
    assert reader.cut is not None
    assert "damaged" in reader.cut.detail


def test_joined_gzip_files_are_one_and_an_empty_one_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"1\n2\n", mtime=0) + gzip.compress(b"", mtime=0) + gzip.compress(b"3", mtime=0))
    lines, reader = _read_all(path)
    assert (lines, reader.cut, reader.num_lines) == ([b"1", b"2", b"3"], None, 3)
    path.write_text("plain text")
    with pytest.raises(DataError, match=r"a\.jsonl\.gz: not a gzip file"):
        _read_all(path)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers(), st.booleans(), st.just([])), max_size=8))
def test_typed_values_keep_the_right_values_and_note_the_others(values: list) -> None:
    wrong: dict[int, str] = {}
    column = typed_values("x", values, (str,), wrong)
    assert list(column) == [value if isinstance(value, str) else None for value in values]
    assert set(wrong) == {n for n, value in enumerate(values) if value is not None and not isinstance(value, str)}
