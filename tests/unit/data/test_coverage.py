"""Items that occur and have no metadata: a warning with examples of both sides, an error above the configured share."""

import json
from pathlib import Path

import polars as pl
import pytest

from genrec.config import DataConfig
from genrec.data.coverage import CHANGES, read_in_words
from genrec.errors import DataError
from genrec.report.collect import collect
from tests.support.data_samples import run_ingest


def _shop(folder: Path, events: list[str], items: dict[str, str], **settings: float) -> DataConfig:
    folder.mkdir()
    rows = [f"u{n},{item},{1_600_000_000 + n}" for n, item in enumerate(events)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    (folder / "items.csv").write_text("".join(f"{i},{t}\n" for i, t in {"item_id": "title", **items}.items()))
    return DataConfig(source="table", path=str(folder), **settings)


def test_ids_of_two_writings_meet(tmp_path: Path) -> None:
    config = _shop(tmp_path / "in", ["7.0", " 8", "9"], {"7": "seven", "8.0": "eight", " 9 ": "nine"})
    summary = run_ingest(config, tmp_path)
    assert (summary["items_without_metadata"], summary["warnings"]) == (0, [])
    assert summary["changes"] == {"cleaned_ids": 4}
    assert pl.read_parquet(tmp_path / "ingest/items.parquet")["item_id"].to_list() == ["7", "8", "9"]


def test_leading_zeros_on_one_side_are_an_error_with_examples_of_both_and_the_likely_cause(tmp_path: Path) -> None:
    config = _shop(tmp_path / "in", ["007", "008"], {"7": "seven", "8": "eight"})
    with pytest.raises(
        DataError,
        match=r"2 of 2 items with events \(100%\) have no metadata, such as '007', '008'; items without events are '7', "
        r"'8': without leading zeros they are the same\. .*data\.max_share_without_metadata = 0\.8",
    ):
        run_ingest(config, tmp_path)


@pytest.mark.parametrize(
    ("event", "item", "cause"),
    [("AB", "ab", "capital letters"), ("a-1", "a1", "signs other"), ("a", "b", None)],
)
def test_below_the_share_it_is_a_warning(tmp_path: Path, event: str, item: str, cause: str | None) -> None:
    config = _shop(tmp_path / "in", [event, "x"], {item: "one", "x": "two"})
    (warning,) = run_ingest(config, tmp_path)["warnings"]
    assert (
        f"1 of 2 items with events (50%) have no metadata, such as {event!r}; items without events are {item!r}"
        in warning
    )
    assert ("they are the same" in warning) == (cause is not None)
    assert cause is None or f"without {cause}" in warning


def test_scientific_notation_is_set_aside_and_stops_the_run(tmp_path: Path) -> None:
    config = _shop(tmp_path / "in", ["4.0E+12"] * 3, {"4000000000001": "one"})
    with pytest.raises(DataError, match=r"3 of 3 rows .* bad_id .* item_id is 4\.0E\+12, in scientific notation"):
        run_ingest(config, tmp_path)


def test_metadata_without_texts_is_a_warning(tmp_path: Path) -> None:
    (warning,) = run_ingest(_shop(tmp_path / "in", ["a", "b"], {"a": "nan", "b": ""}), tmp_path)["warnings"]
    assert warning == "2 of 2 items with events (100%) have metadata without any text, such as 'a', 'b'"


def test_no_metadata_at_all_is_no_error(tmp_path: Path) -> None:
    (warning,) = run_ingest(_shop(tmp_path / "in", ["a"], {}), tmp_path)["warnings"]
    assert warning == "1 of 1 items with events (100%) have no metadata"


def test_report_and_console_count_what_was_changed_and_what_has_no_metadata(tmp_path: Path) -> None:
    config = _shop(tmp_path / "in", ["7.0", "8", "None"], {"7": "<b>seven</b>", "9": "x"}, max_quarantine_share=0.5)
    summary = run_ingest(config, tmp_path)
    assert summary["quarantined"] == {"missing_item": 1}
    (tmp_path / "ingest/manifest.json").write_bytes(json.dumps({"summary": summary}).encode())
    report = collect({"run_id": "r", "config": {}, "stages": [], "artifacts": {"ingest": tmp_path / "ingest"}})
    assert report["warnings"] == summary["warnings"]
    assert len(report["warnings"]) == 1
    counted, *changes = read_in_words(report["data"])
    assert counted == (
        "2 interactions read, 2 items described, 1 items with events and without metadata, 1 without any text, "
        "1 rows set aside"
    )
    assert changes == [f"1 {CHANGES[name]}" for name in ("cleaned_ids", "html", "missing_words")]
