"""Every file of a folder of tables is read, or listed with the reason why it is not."""

from pathlib import Path

import polars as pl
import pytest

from genrec.config import DataConfig
from genrec.data import ingest
from genrec.data.coverage import left_out_in_words
from tests.support.data_samples import run_ingest

HEADER = "user_id,item_id,timestamp\n"


def _shop(folder: Path, *names: str) -> DataConfig:
    """A table in each file, with one event or item that is called like the file."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        ids = (
            {"item_id": [name]} if name.startswith("items") else {"user_id": [name], "item_id": ["i"], "timestamp": [1]}
        )
        frame = pl.DataFrame(ids)
        frame.write_parquet(folder / name) if name.endswith("parquet") else frame.write_csv(folder / name)
    return DataConfig(source="table", path=str(folder), max_share_without_metadata=1.0)


@pytest.mark.parametrize(
    "part",
    [
        "interactions-2.CSV",
        "interactions_3.csv",
        "interactions_2026-09.csv",
        "interactions.2.csv",
        "interactions-new.parquet",
        "interactions/a.csv",
        "interactions/day=5/0.parquet",
        "interactions/day=5/hour=7/0.CSV",
    ],
)
def test_parts_under_the_names_that_people_give_are_read(tmp_path: Path, part: str) -> None:
    config = _shop(tmp_path / "in", "interactions.csv", "items.csv", part)
    assert run_ingest(config, tmp_path)["users"] == 2
    assert ingest.left_out(config) == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("interactions.csv", r"interactions\.parquet stands beside it; call it interactions-2\.csv if both count"),
        ("interactions_old.csv", "parts are called interactions-... or lie in interactions/"),
        ("interactions-2.tsv", "its name ends in none of .parquet, .csv, .csv.gz"),
        ("interactions/notes.txt", "its name ends in none of"),
        ("interactions_new/0.csv", "a folder of parts is called interactions/"),
        ("events.csv", "its name begins with neither of interactions, items"),
    ],
)
def test_what_is_not_read_is_listed_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    config = _shop(tmp_path / "in", "interactions.parquet", "items.csv", name, "_SUCCESS.csv", "interactions/.crc.csv")
    assert run_ingest(config, tmp_path)["users"] == 1
    ((listed, why),) = ingest.left_out(config).items()
    assert listed == (name if not name.startswith("interactions_new") else "interactions_new")
    assert reason.replace("\\", "") in why
    assert left_out_in_words({listed: why}) == [f"not read: {listed} ({why})"]


def test_files_beside_one_that_is_named_are_listed(tmp_path: Path) -> None:
    config = _shop(tmp_path, "interactions.csv", "interactions-2.csv", "interactions/3.csv", "items.csv")
    named = config.model_copy(update={"options": {**config.options, "interactions": "interactions.csv"}})
    assert {file.name for file in ingest.source_files(named)} == {"interactions.csv", "items.csv"}
    reason = "data.options.interactions names another file"
    assert ingest.left_out(named) == {"interactions-2.csv": reason, "interactions/": reason}


def test_many_files_that_are_not_read_are_one_sentence() -> None:
    (sentence,) = left_out_in_words({f"{n}.txt": "no table" for n in range(9)})
    assert sentence == "not read: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 4 more (no table)"


def test_a_mapped_column_may_be_the_name_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    config = _shop(folder, "items.csv", "interactions/event=click/0.parquet", "interactions/event=view/0.csv")
    run_ingest(config, tmp_path)
    assert sorted(pl.read_parquet(tmp_path / "ingest/interactions.parquet")["event"]) == ["click", "view"]


@pytest.mark.parametrize("name", ["a.JSONL", "a.json", "b.ndjson"])
def test_review_files_are_found_under_any_ending_and_others_are_listed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"user_id": "u", "parent_asin": "i", "timestamp": 1600000000000}\n')
    (tmp_path / "readme.txt").write_text("x")
    config = DataConfig(source="amazon2023", path=str(tmp_path))
    assert [file.name for file in ingest.source_files(config)] == [name]
    assert list(ingest.left_out(config)) == ["readme.txt"]
    assert ingest.left_out(DataConfig()) == {}
