"""A category by its name, from a copy of the hub's layout or its file system, with a way out where there is no network."""

import gzip
from pathlib import Path

import fsspec
import pytest

from genrec.config import DataConfig
from genrec.data import amazon_hub, ingest
from genrec.errors import DataError
from tests.support.data_samples import review, run_ingest, write_lines

CATEGORIES = ("All_Beauty", "Gift_Cards")


def write_hub(folder: Path) -> Path:
    for n, category in enumerate(CATEGORIES):
        write_lines(
            folder / f"raw/review_categories/{category}.jsonl", [review(f"u{n}", f"i{n}{i}", i) for i in range(9)]
        )
        write_lines(
            folder / f"raw/meta_categories/meta_{category}.jsonl",
            [{"parent_asin": f"i{n}{i}", "title": f"T{i}", "store": "S"} for i in range(9)],
        )
    return folder


def _config(path: str | None, category: str = "Gift_Cards", **options: list[str]) -> DataConfig:
    return DataConfig(source="amazon2023", path=path, options={"category": category, **options})


def test_a_category_of_a_copy_of_the_layout_is_read_with_its_metadata(tmp_path: Path) -> None:
    folder = write_hub(tmp_path / "in")
    summary = run_ingest(_config(str(folder)), tmp_path)
    assert (summary["users"], summary["interactions"], summary["items_without_metadata"]) == (1, 9, 0)
    assert [file.name for file in ingest.source_files(_config(str(folder)))] == [
        "raw/review_categories/Gift_Cards.jsonl",
        "raw/meta_categories/meta_Gift_Cards.jsonl",
    ]
    assert ingest.left_out(_config(str(folder))) == {}


def test_compressed_copies_are_found_too(tmp_path: Path) -> None:
    folder = write_hub(tmp_path)
    plain = folder / "raw/review_categories/Gift_Cards.jsonl"
    plain.with_name(plain.name + ".gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert ingest.source_files(_config(str(folder)))[0].name == "raw/review_categories/Gift_Cards.jsonl.gz"


def test_without_a_path_the_hub_is_read_and_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_hub(tmp_path / "in")
    fs = fsspec.filesystem("memory")
    fs.put(str(folder), "/hub_of_test", recursive=True)
    monkeypatch.setattr(amazon_hub, "HUB", "memory://hub_of_test")
    try:
        assert ingest.fingerprint(_config(None)) == ingest.fingerprint(_config(str(folder)))
        assert run_ingest(_config(None), tmp_path / "a") == run_ingest(_config(str(folder)), tmp_path / "b")
    finally:
        fs.rm("/hub_of_test", recursive=True)


def test_another_category_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    folder = write_hub(tmp_path)
    with pytest.raises(DataError, match=r"no raw/review_categories/Books\.jsonl .* are All_Beauty, Gift_Cards"):
        ingest.source_files(_config(str(folder), "Books"))
    (folder / "raw/meta_categories/meta_Gift_Cards.jsonl").unlink()
    with pytest.raises(DataError, match=r"no raw/meta_categories/meta_Gift_Cards\.jsonl"):
        ingest.source_files(_config(str(folder)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"set data\.path to the folder that holds raw/"):
        ingest.source_files(_config(str(tmp_path / "empty")))


def test_files_that_are_named_besides_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="category names the files"):
        ingest.source_files(_config(str(write_hub(tmp_path)), reviews=["a.jsonl"]))


def test_without_a_network_the_error_says_what_to_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline(Exception):
        pass

    def fail(*_: object, **__: object) -> None:
        raise Offline("Name or service not known")

    monkeypatch.setattr("huggingface_hub.hf_file_system.HfFileSystem.info", fail)
    with pytest.raises(DataError) as told:
        ingest.source_files(_config(None))
    text = str(told.value)
    assert "hf://datasets/McAuley-Lab/Amazon-Reviews-2023 cannot be reached (Offline: Name or service" in text
    assert "copy raw/review_categories/Gift_Cards.jsonl and raw/meta_categories/meta_Gift_Cards.jsonl" in text
    assert "set data.path to the folder that holds raw/" in text
