"""Damaged files among good ones are named and left out; the rest is read as if they were not there."""

import gzip
import json
import random
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from genrec.config import DataConfig
from genrec.data import damage, ingest
from genrec.data.merge import merge
from genrec.errors import DataError
from tests.support.data_samples import review, run_ingest, write_lines

GOOD, BAD = 18, 4
ARTIFACTS = ("interactions.parquet", "items.parquet")


def _reviews(folder: Path, numbers: range, suffix: str = ".gz") -> None:
    for n in numbers:
        events = [review(f"u{n:03d}", f"i{i}", i) for i in range(20)]
        text = "".join(json.dumps(row) + "\n" for row in events).encode()
        pack = gzip.compress if suffix == ".gz" else zstandard.ZstdCompressor(write_checksum=True).compress
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"r{n:03d}.jsonl{suffix}").write_bytes(pack(text))


def _amazon(folder: Path, **settings: Any) -> DataConfig:
    write_lines(folder / "meta_a.jsonl", [{"parent_asin": f"i{i}", "title": f"T{i}"} for i in range(20)])
    return DataConfig(source="amazon2023", path=str(folder), **settings)


def _damage(path: Path, how: int) -> None:
    content = path.read_bytes()
    if how == 0:
        path.write_bytes(content[: len(content) * 2 // 3])
    elif how == 1:
        path.write_bytes(b"")
    elif how == 2:
        path.write_bytes(random.Random(how).randbytes(500))
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes(40) + content[middle + 40 :])


def _interactions(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "ingest/interactions.parquet")


def _quarantine(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "ingest/quarantine.parquet")


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_damaged_files_are_named_and_the_rest_is_what_a_clean_run_gives(suffix: str, tmp_path: Path) -> None:
    _reviews(tmp_path / "clean", range(GOOD), suffix)
    shutil.copytree(tmp_path / "clean", tmp_path / "mixed")
    _reviews(tmp_path / "mixed", range(GOOD, GOOD + BAD), suffix)
    names = [f"r{GOOD + n:03d}.jsonl{suffix}" for n in range(BAD)]
    for n, name in enumerate(names):
        _damage(tmp_path / "mixed" / name, n)
    clean = run_ingest(_amazon(tmp_path / "clean"), tmp_path / "a")
    mixed = run_ingest(_amazon(tmp_path / "mixed", max_damaged_files=0.2), tmp_path / "b")
    for name in ARTIFACTS:
        assert (tmp_path / "a/ingest" / name).read_bytes() == (tmp_path / "b/ingest" / name).read_bytes()
    assert _quarantine(tmp_path / "b")["file"].to_list() == names
    assert set(_quarantine(tmp_path / "b")["reason"]) == {"truncated_file", "damaged_file"}
    assert mixed.pop("quarantined") == {"damaged_file": 2, "truncated_file": 2}
    (told, *others) = mixed.pop("warnings")
    assert told.startswith(
        f"4 of 22 files of interactions are damaged and left out: {names[0]} (the compressed file ends"
    )
    assert told.endswith(f"{names[2]} (not a {'gzip' if suffix == '.gz' else 'zstd'} file (the name ends in {suffix}); "
                         "decompress or rename it) and 1 more; quarantine.parquet names each")  # fmt: skip
    assert {**mixed, "quarantined": {}, "warnings": others} == clean


def test_parts_are_set_aside_again_with_the_same_result(tmp_path: Path) -> None:
    _reviews(tmp_path / "in", range(11))
    _damage(tmp_path / "in/r003.jsonl.gz", 0)
    config = _amazon(tmp_path / "in")
    first = run_ingest(config, tmp_path)
    assert merge(tmp_path / "parts", config, tmp_path / "again") == first
    for name in (*ARTIFACTS, "quarantine.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "ingest" / name).read_bytes()


def test_with_keep_rows_a_truncated_file_is_read_up_to_the_cut(tmp_path: Path) -> None:
    _reviews(tmp_path / "in", range(20))
    _damage(tmp_path / "in/r003.jsonl.gz", 0)
    summary = run_ingest(_amazon(tmp_path / "in", damaged_files="keep_rows"), tmp_path)
    assert 0 < _interactions(tmp_path).filter(pl.col("user_id") == "u003").height < 20
    assert "1 of 20 files of interactions are damaged and read up to the damage" in summary["warnings"][0]
    summary = run_ingest(_amazon(tmp_path / "in"), tmp_path / "auto")
    assert "u003" not in _interactions(tmp_path / "auto")["user_id"]
    assert summary["interactions"] == 19 * 20


def test_a_truncated_file_that_is_much_of_the_data_is_read_up_to_the_cut_unless_it_must_be_set_aside(
    tmp_path: Path,
) -> None:
    _reviews(tmp_path / "in", range(2))
    _damage(tmp_path / "in/r001.jsonl.gz", 0)
    run_ingest(_amazon(tmp_path / "in"), tmp_path)
    assert set(_interactions(tmp_path)["user_id"]) == {"u000", "u001"}
    with pytest.raises(DataError, match=r"r001.*ends before its end mark\. 1 of 2 files of interactions are damaged"):
        run_ingest(_amazon(tmp_path / "in", damaged_files="set_aside"), tmp_path / "b")


def test_above_the_share_the_run_stops_before_anything_is_read(tmp_path: Path) -> None:
    _reviews(tmp_path / "in", range(10))
    for n in (2, 5):
        _damage(tmp_path / f"in/r00{n}.jsonl.gz", 2)
    with pytest.raises(DataError, match=r"r002.jsonl.gz: not a gzip file .* 2 of 10 files of interactions are damaged"):
        ingest.plan(_amazon(tmp_path / "in"), tmp_path)
    assert len(ingest.plan(_amazon(tmp_path / "in", max_damaged_files=0.2), tmp_path)) == 11


def test_the_one_file_of_a_kind_stops_the_run_with_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl.gz").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError) as told:
        ingest.plan(_amazon(tmp_path / "in"), tmp_path)
    assert str(told.value) == "a.jsonl.gz: not a gzip file (the name ends in .gz); decompress or rename it"


def test_a_parquet_file_with_a_damaged_page_leaves_with_all_its_shards(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pl.DataFrame({"item_id": [f"i{n}" for n in range(997)]}).write_csv(folder / "items.csv")
    for n in range(12):
        frame = pl.DataFrame({"user_id": [f"u{n}"] * 4000, "item_id": [f"i{i % 997}" for i in range(4000)]})
        frame = frame.with_columns(pl.int_range(1, 4001).alias("timestamp"))
        frame.write_parquet(folder / f"interactions-{n:02d}.parquet", row_group_size=1000)
    broken = folder / "interactions-03.parquet"
    content = bytearray(broken.read_bytes())
    content[len(content) // 2 - 2000 : len(content) // 2 + 2000] = bytes(4000)
    broken.write_bytes(content)
    (folder / "interactions-05.parquet").write_bytes(content[:5000])
    config = DataConfig(source="table", path=str(folder), max_damaged_files=0.2)
    shards = ingest.cut_into_shards(ingest.source_files(config), max_rows=1000)
    assert sum(shard.name == "interactions-03.parquet" for shard in shards) == 4
    summary = run_ingest(config, tmp_path, shards)
    assert set(_interactions(tmp_path)["user_id"]) == {f"u{n}" for n in range(12) if n not in (3, 5)}
    assert summary["interactions"] == 40_000
    assert set(_quarantine(tmp_path)["file"]) == {"interactions-03.parquet", "interactions-05.parquet"}


def test_a_check_that_fails_otherwise_is_no_damage(tmp_path: Path) -> None:
    (file,) = ingest.source_files(_amazon_of_one(tmp_path))

    def wrong_setting() -> None:
        raise DataError("data.options: wrong")

    with pytest.raises(DataError, match="wrong"):
        damage.checked(file, wrong_setting)


def _amazon_of_one(folder: Path) -> DataConfig:
    write_lines(folder / "a.jsonl", [review("u", "i")])
    return DataConfig(source="amazon2023", path=str(folder))
