"""Part files are whole or not there, and small shards travel together."""

from pathlib import Path

import pytest

from genrec.config import DataConfig
from genrec.data import ingest, part_files
from genrec.data.shards import Batch, Shard, cut_into_shards, empty_rows, shard_bytes
from tests.support.data_samples import review, write_lines


def _files(folder: Path, num: int) -> list[Shard]:
    for n in range(num):
        write_lines(folder / f"{n}.jsonl", [review(f"u{n}", f"i{i}", i) for i in range(3)])
    return cut_into_shards(ingest.source_files(DataConfig(source="amazon2023", path=str(folder))))


def test_a_reader_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (shard,) = _files(tmp_path / "in", 1)

    def batches():
        yield Batch(empty_rows("interactions"), [], 1, 0.5)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        part_files.write(shard, batches(), tmp_path / "parts")
    assert list((tmp_path / "parts").iterdir()) == []
    assert not part_files.is_read(shard, tmp_path / "parts")


def test_small_shards_are_joined_in_order_up_to_a_size(tmp_path: Path) -> None:
    shards = _files(tmp_path, 7)
    size = shard_bytes(shards[0])
    groups = part_files.in_groups(shards, 3 * size)
    assert [len(group) for group in groups] == [3, 3, 1]
    assert [shard for group in groups for shard in group] == shards
    assert [len(group) for group in part_files.in_groups(shards, 1)] == [1] * 7
    assert part_files.in_groups([]) == []


def test_shards_read_together_report_the_bytes_of_all(tmp_path: Path) -> None:
    shards = _files(tmp_path / "in", 3)
    config = DataConfig(source="amazon2023", path=str(tmp_path / "in"))
    reports: list[tuple[float, float]] = []
    ingest.read_shards(
        shards, config, tmp_path / "parts", lambda done, total, note="", /: reports.append((done, total))
    )
    total = sum(map(shard_bytes, shards))
    assert {of_all for _, of_all in reports} == {total}
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    assert reports[-1][0] == total
    assert all(part_files.is_read(shard, tmp_path / "parts") for shard in shards)


def test_parts_are_in_the_order_of_their_shards_beyond_a_hundred_thousand(tmp_path: Path) -> None:
    for index in (100_000, 7, 99_999):
        (tmp_path / f"{index:05d}.json").touch()
    assert [mark.stem for mark in part_files.marks(tmp_path)] == ["00007", "99999", "100000"]
