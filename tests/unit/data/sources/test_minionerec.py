"""The layout of MiniOneRec: its rows are the rows that are trained on, validated and tested."""

import csv
import json
from pathlib import Path

import pytest

from genrec import tables
from genrec.config import DataConfig, PrepareConfig
from genrec.data import ingest
from genrec.errors import DataError
from tests.support.data_samples import rows_with_histories, run_ingest, run_prepare
from tests.support.minionerec_files import Row, write_layout

ROWS: dict[str, list[Row]] = {
    "train": [("A1", [3], "4"), ("A2", [3, 5], "4"), ("A1", [3, 4], "5"), ("A2", [5, 4], "3")],
    "valid": [("A1", [4, 5], "10"), ("A3", [5], "4")],
    "test": [("A1", [5, 10], "3"), ("A3", [5, 4], "3"), ("A2", [4, 3], "10"), ("A1", [10, 3], "3")],
}


def _prepared(path: Path, folder: Path, **options: str) -> Path:
    config = DataConfig(source="minionerec", path=str(path), options=options)
    run_ingest(config, folder)
    run_prepare(folder / "ingest", PrepareConfig(split="given", max_history=2), folder)
    return folder / "prepared"


def test_every_row_is_predicted_from_the_history_it_is_written_with(tmp_path: Path) -> None:
    prepared = _prepared(write_layout(tmp_path / "in", ROWS), tmp_path)
    item_ids = tables.CATALOGUE_FILE.read(prepared)["item_id"].to_pylist()
    users = tables.USERS_FILE.read(prepared)["user_id"].to_pylist()
    for part in ("valid", "test"):
        found = [
            (users[row["user"]], [int(item_ids[i]) for i in row["history"][-2:]], item_ids[row["target"]])
            for row in rows_with_histories(prepared / f"{part}.parquet")
        ]
        assert sorted(found) == sorted(ROWS[part])
    trained = tables.TRAIN_FILE.read(prepared).to_pylist()
    assert {row["user_id"]: [int(item_ids[i]) for i in row["items"]] for row in trained} == {
        "A1": [3, 4, 5],
        "A2": [3, 5, 4, 3],
    }
    catalogue = tables.CATALOGUE_FILE.read(prepared).to_pylist()
    assert [(row["item_id"], row["title"], row["categories"]) for row in catalogue][:2] == [
        ("10", "T10", ["x"]),
        ("3", "T3", ["x"]),
    ]


@pytest.mark.parametrize("writing", [lambda h: str([str(i) for i in h]), lambda h: json.dumps([str(i) for i in h])])
def test_lists_of_texts_are_read_as_lists_of_numbers_are(writing, tmp_path: Path) -> None:
    as_texts = {part: [(u, writing(h), i) for u, h, i in rows] for part, rows in ROWS.items()}
    first = _prepared(write_layout(tmp_path / "in", ROWS), tmp_path / "a")
    folder = tmp_path / "in"
    for part, rows in as_texts.items():
        with (folder / part / "Shop_5_2016-10-2018-11.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("user_id", "history_item_id", "item_id"), *rows])
    second = _prepared(folder, tmp_path / "b")
    for name in ("train", "valid", "test", "catalogue"):
        assert (first / f"{name}.parquet").read_bytes() == (second / f"{name}.parquet").read_bytes()


def test_rows_that_cannot_be_used_are_set_aside_with_their_line(tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "in", ROWS)
    with (folder / "valid/Shop_5_2016-10-2018-11.csv").open("a", newline="") as file:
        csv.writer(file).writerows([("A1", "", "", "4,5", "3", "", ""), ("", "", "", "[4]", "3", "", ""), ("A1",)])
    summary = run_ingest(DataConfig(source="minionerec", path=str(folder), max_quarantine_share=0.5), tmp_path)
    assert summary["quarantined"] == {"bad_csv": 1, "missing_user": 1, "wrong_type": 1}
    quarantine = tables.QUARANTINE_FILE.read(tmp_path / "ingest").to_pylist()
    assert {(row["file"], row["line"]) for row in quarantine} == {
        ("valid/Shop_5_2016-10-2018-11.csv", line) for line in (4, 5, 6)
    }


def test_ids_follow_the_rules_of_every_source(tmp_path: Path) -> None:
    """Blanks, a fraction of zeros, words for nothing; numpy prints a list without commas."""
    as_texts = {part: [(u, str(h), i) for u, h, i in rows] for part, rows in ROWS.items()}
    as_texts["train"][1] = ("A2", "['3' '5.0']", " 4.0")
    plain, changed = tmp_path / "plain", tmp_path / "changed"
    write_layout(plain, ROWS)
    write_layout(changed, ROWS)
    unusable = [("nan", "[4]", "3"), ("A1", "[4, nan]", "3"), ("A1", "[4]", "None"), ("A1", "[4]", "1e+20")]
    for part, rows in as_texts.items():
        with (changed / part / "Shop_5_2016-10-2018-11.csv").open("w", newline="") as file:
            more = unusable if part == "train" else []
            csv.writer(file).writerows([("user_id", "history_item_id", "item_id"), *rows, *more])
    config = DataConfig(source="minionerec", path=str(changed), max_quarantine_share=0.5)
    summary = run_ingest(config, tmp_path / "b")
    assert summary["quarantined"] == {"missing_user": 1, "missing_item": 2, "bad_id": 1}
    first = _prepared(plain, tmp_path / "a")
    run_prepare(tmp_path / "b/ingest", PrepareConfig(split="given", max_history=2), tmp_path / "b")
    for name in ("train", "valid", "test", "catalogue"):
        assert (first / f"{name}.parquet").read_bytes() == (tmp_path / f"b/prepared/{name}.parquet").read_bytes()


def test_of_several_data_sets_one_is_named(tmp_path: Path) -> None:
    folder = write_layout(write_layout(tmp_path / "in", ROWS), ROWS, "Office_5_2016-10-2018-11")
    with pytest.raises(DataError, match=r"2 files \*\.csv in .*data\.options\.category"):
        ingest.source_files(DataConfig(source="minionerec", path=str(folder)))
    config = DataConfig(source="minionerec", path=str(folder), options={"category": "Office"})
    assert [file.name for file in ingest.source_files(config)] == [
        *(f"{part}/Office_5_2016-10-2018-11.csv" for part in ROWS),
        "index/Office.item.json",
    ]
    assert set(ingest.left_out(config)) == {
        *(f"{part}/Shop_5_2016-10-2018-11.csv" for part in ROWS),
        "index/Office.index.json",
        "index/Shop.index.json",
        "index/Shop.item.json",
    }


@pytest.mark.parametrize("content", ["[1, 2]", "{broken", '{"3": "a title"}'])
def test_items_that_are_no_object_by_id_are_refused(content: str, tmp_path: Path) -> None:
    folder = write_layout(tmp_path, ROWS)
    (folder / "index/Shop.item.json").write_text(content)
    with pytest.raises(DataError, match=r"index/Shop\.item\.json: "):
        ingest.source_files(DataConfig(source="minionerec", path=str(folder)))
