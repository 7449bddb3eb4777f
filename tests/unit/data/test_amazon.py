"""The two Amazon layouts: which field becomes what, which files are taken, byte ranges."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from genrec.config import DataConfig
from genrec.data import encodings, ingest, reading
from genrec.data.shards import SourceFile, cut_into_shards
from genrec.errors import DataError
from tests.support.data_samples import T0_MS, review, run_ingest, write_lines


def _read(source: str, folder: Path, **options: object) -> tuple[pl.DataFrame, pl.DataFrame, dict]:
    config = DataConfig(source=source, path=str(folder), options=options)
    summary = run_ingest(config, folder / "run")
    interactions, items = (pl.read_parquet(folder / f"run/ingest/{n}.parquet") for n in ("interactions", "items"))
    return interactions, items, summary


def test_fields_of_2018(tmp_path: Path) -> None:
    base = {"reviewerID": "u", "overall": 4.0, "unixReviewTime": T0_MS // 1000}
    write_lines(tmp_path / "Office.json", [{**base, "asin": "a", "verified": True}, {**base, "asin": "b"}])
    metadata = [
        {"asin": "a", "title": "Pen &amp;  Ink", "description": ["one", "two"], "brand": "Nib", "category": ["X", "Y"]},
        {"asin": "b", "description": "text", "category": []},
        {"asin": "c", "categories": [["P", "Q"], ["R"]]},
    ]
    write_lines(tmp_path / "meta_Office.json", metadata)
    interactions, items, summary = _read("amazon2018", tmp_path)
    assert list(interactions.iter_rows()) == [("u", "a", T0_MS, "purchase", 4.0), ("u", "b", T0_MS, "review", 4.0)]
    assert list(items.iter_rows()) == [
        ("a", "Pen & Ink", "one two", "Nib", ["X", "Y"]),
        ("b", "", "text", "", []),
        ("c", "", "", "", ["P", "Q"]),
    ]
    assert summary["events"] == {"purchase": 1, "review": 1}


def test_fields_of_2023(tmp_path: Path) -> None:
    rows = [
        review("u", "a"),
        {"user_id": "u", "asin": "b", "timestamp": T0_MS + 1, "rating": None},
        review("u", "c", 1, event=" Click "),
    ]
    write_lines(tmp_path / "r.jsonl", rows)
    metadata = [
        {
            "parent_asin": "a",
            "title": "T",
            "description": ["d"],
            "features": ["f", "g"],
            "store": "S",
            "categories": [],
            "main_category": "M",
        }
    ]
    write_lines(tmp_path / "meta_r.jsonl", metadata)
    interactions, items, summary = _read("amazon2023", tmp_path)
    assert interactions["item_id"].to_list() == ["a", "b", "c"]
    assert interactions["event"].to_list() == ["purchase", "review", "click"]
    assert interactions["rating"].to_list() == [5.0, None, 5.0]
    assert list(items.iter_rows()) == [("a", "T", "d f g", "S", ["M"])]
    assert (summary["items_without_metadata"], summary["items_without_text"]) == (2, 2)


def test_files_are_found_by_name_or_as_named(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl.gz", "meta_a.jsonl", "old.json"):
        (tmp_path / name).write_bytes(gzip.compress(b"", mtime=0) if name.endswith("gz") else b"")
    names = lambda **options: [  # noqa: E731
        (s.kind, s.name)
        for s in ingest.plan(DataConfig(source="amazon2023", path=str(tmp_path), options=options), tmp_path)
    ]
    assert names() == [
        ("interactions", "a.jsonl"),
        ("interactions", "b.jsonl.gz"),
        ("interactions", "old.json"),
        ("items", "meta_a.jsonl"),
    ]
    assert names(reviews=["b.jsonl.gz"]) == [("interactions", "b.jsonl.gz"), ("items", "meta_a.jsonl")]
    with pytest.raises(DataError, match=r"no file nope\.jsonl .* holds a\.jsonl"):
        names(reviews=["nope.jsonl"])
    one_file = DataConfig(source="amazon2023", path=str(tmp_path / "a.jsonl"))
    assert [s.name for s in ingest.plan(one_file, tmp_path)] == ["a.jsonl", "meta_a.jsonl"]


def test_no_interaction_at_all_is_an_error(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [])
    with pytest.raises(DataError, match=r"no interaction in a\.jsonl"):
        _read("amazon2023", tmp_path)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"").replace(b"\0", b"")), max_size=12),
    newline_at_end=st.booleans(),
    max_bytes=st.integers(1, 40),
)
def test_byte_ranges_read_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], newline_at_end: bool, max_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("ranges") / "a.jsonl"
    content = b"\n".join(lines) + (b"\n" if newline_at_end else b"")
    assume(not content.startswith((b"\xff\xfe", b"\xfe\xff", *(magic for magic, *_ in encodings._STARTS))))  # no text
    path.write_bytes(content)
    found: list[bytes] = []
    for shard in cut_into_shards([SourceFile("interactions", path, "a.jsonl")], max_bytes=max_bytes):
        reader = reading.LineReader(path, "a.jsonl", shard.start, shard.end)
        own = [line for _, block in reader for line in block]
        assert reader.num_lines == len(own)
        found += own
    expected = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert found == (expected[:-1] if expected[-1] == b"" else expected)


def test_shards_and_compression_change_nothing(tmp_path: Path) -> None:
    rows = [review(f"u{n % 13}", f"i{n % 7}", n // 2) for n in range(300)]
    rows[150] = b"{"  # type: ignore[call-overload]
    write_lines(tmp_path / "plain/a.jsonl", rows)
    packed = gzip.compress((tmp_path / "plain/a.jsonl").read_bytes(), mtime=0)
    (tmp_path / "zip").mkdir()
    (tmp_path / "zip/a.jsonl.gz").write_bytes(packed)
    plain = DataConfig(source="amazon2023", path=str(tmp_path / "plain"))
    whole = run_ingest(plain, tmp_path / "whole")
    shards = cut_into_shards([SourceFile("interactions", tmp_path / "plain/a.jsonl", "a.jsonl")], max_bytes=2000)
    assert len(shards) > 10
    assert run_ingest(plain, tmp_path / "cut", shards) == whole
    zipped = run_ingest(DataConfig(source="amazon2023", path=str(tmp_path / "zip")), tmp_path / "unzipped")
    assert zipped == whole
    for run in ("cut", "unzipped"):
        left, right = (tmp_path / name / "ingest/interactions.parquet" for name in ("whole", run))
        assert left.read_bytes() == right.read_bytes()
    bad = pl.read_parquet(tmp_path / "cut/ingest/quarantine.parquet")
    assert (bad["line"].to_list(), bad["file"].to_list()) == ([151], ["a.jsonl"])


def test_a_hostile_record_stays_text(tmp_path: Path) -> None:
    """Names that other formats would execute or resolve arrive as they are."""
    hostile = "!!python/object/apply:os.system ['touch canary'] ../../etc __import__('os')"
    write_lines(tmp_path / "a.jsonl", [review(hostile, "i")])
    write_lines(tmp_path / "meta_a.jsonl", [json.dumps({"parent_asin": "i", "title": hostile}).encode()])
    interactions, items, _ = _read("amazon2023", tmp_path)
    assert interactions["user_id"].to_list() == items["title"].to_list() == [hostile]


def test_html_and_page_script_leave_every_text_and_are_counted(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.json", [{"reviewerID": "u", "asin": "a", "unixReviewTime": T0_MS // 1000}])
    metadata = [
        {
            "asin": "a",
            "title": '<span id="productTitle" class="a-size-large">Pen  &amp; Ink</span>',
            "description": ["<p>one</p>", "two <br>"],
            "brand": "<a href='/nib'>Nib</a>",
            "category": ["Office", "<b>Pens</b>", "</span></span></span>"],
        },
        {"asin": "b", "title": "var aPageStart = (new Date()).getTime();\nvar x = 1;", "category": "['X', 'Y']"},
    ]
    write_lines(tmp_path / "meta_a.json", metadata)
    _, items, summary = _read("amazon2018", tmp_path)
    assert list(items.iter_rows()) == [
        ("a", "Pen & Ink", "one two", "Nib", ["Office", "Pens"]),
        ("b", "", "", "", ["X", "Y"]),
    ]
    assert summary["changes"] == {"html": 5, "lists_in_text": 1, "page_scripts": 1}


def test_ids_and_texts_that_say_nothing_are_missing(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [review("nan", "i"), review("u", "None"), review(" u ", "i"), review("u", "7.0")])
    write_lines(tmp_path / "meta_a.jsonl", [{"parent_asin": " i", "title": "None"}, {"parent_asin": "7", "title": "T"}])
    config = DataConfig(source="amazon2023", path=str(tmp_path), max_quarantine_share=0.5)
    summary = run_ingest(config, tmp_path / "run")
    interactions = pl.read_parquet(tmp_path / "run/ingest/interactions.parquet")
    assert sorted(interactions.select("user_id", "item_id").rows()) == [("u", "7"), ("u", "i")]
    assert summary["quarantined"] == {"missing_item": 1, "missing_user": 1}
    assert summary["changes"] == {"cleaned_ids": 3, "missing_words": 3}
    assert (summary["items_without_metadata"], summary["items_without_text"]) == (0, 1)
