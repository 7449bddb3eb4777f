"""The ingest stage: an attempt after a killed one reads only the shards that are missing."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from genrec.config import Config, DataConfig
from genrec.data import part_files, shards
from genrec.errors import DataError
from tasks.ray.watch import Watcher, watching
from tasks.stage import Job
from tasks.stages.ingest import ingest
from tests.support.data_samples import review, write_lines

ARTIFACTS = ("interactions.parquet", "items.parquet", "quarantine.parquet")


class HereJob(Job):
    """Runs the tasks of a stage in this process, one after the other, and notes the files that are read."""

    def ray_tasks(self, function, calls, reports_progress=False, rows=None, use=None, sizes=None):
        if rows:
            self.previous["read"] = [[shard.name for shard in call["shards"]] for call in calls]
            self.previous["sizes"] = sizes
        return [function(**call) for call in calls]


class Messages(Watcher):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(part_files.in_groups, "__defaults__", (1,))  # a task a shard
    folder = tmp_path / "in"
    for n in range(4):
        write_lines(folder / f"{n}.jsonl", [review(f"u{n}", f"i{i}", i) for i in range(5)] + [b"{broken"])
    write_lines(folder / "meta_a.jsonl", [{"parent_asin": f"i{i}", "title": f"T{i}"} for i in range(5)])
    settings = {"source": "amazon2023", "path": str(folder), "max_quarantine_share": 0.5}
    return Config.model_validate({"data": settings})


def _job(config: Config, folder: Path) -> HereJob:
    for name in ("out", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def scratch() -> Iterator[Path]:
        (folder / "scratch").mkdir(exist_ok=True)
        yield folder / "scratch"

    return HereJob("ingest", config, folder / "out", folder / "work", scratch)


def _bytes(job: Job) -> list[bytes]:
    return [(job.out / name).read_bytes() for name in ARTIFACTS]


def test_an_attempt_after_a_killed_one_reads_the_missing_shards_and_ends_with_the_same_bytes(config, tmp_path):
    whole = _job(config, tmp_path / "whole")
    summary = ingest.function(whole)
    assert len(whole.previous["read"]) == 5
    job = _job(config, tmp_path / "cut off")
    ingest.function(job)
    (parts,) = job.work.iterdir()
    (parts / "00001.json").unlink()  # killed before it was marked as read
    (parts / "00003-rows.arrow").unlink()  # a loss of power took the name back
    (parts / "00003-rows.arrow.0000.partial").write_bytes(b"half of a fil")
    again = _job(config, tmp_path / "cut off")
    messages = Messages()
    with watching(messages):
        assert ingest.function(again) == summary
    assert again.previous["read"] == [["1.jsonl"], ["3.jsonl"]]
    assert messages.texts == ["ingest: 3 of 5 shards were read by an earlier attempt"]
    assert _bytes(again) == _bytes(whole)


def test_with_all_shards_read_nothing_is_read_again(config, tmp_path):
    ingest.function(_job(config, tmp_path))
    again = _job(config, tmp_path)
    ingest.function(again)
    assert "read" not in again.previous


def test_parts_of_other_shards_are_not_taken(config, tmp_path, monkeypatch):
    ingest.function(_job(config, tmp_path))
    monkeypatch.setattr(shards.cut_into_shards, "__defaults__", (200, 4_000_000))
    again = _job(config, tmp_path)
    ingest.function(again)
    assert len(again.previous["read"]) > 5


def test_the_sizes_told_are_the_bytes_of_the_files(config, tmp_path):
    job = _job(config, tmp_path)
    ingest.function(job)
    assert sum(job.previous["sizes"]) == sum(p.stat().st_size for p in (tmp_path / "in").iterdir())


def test_a_table_that_breaks_its_contract_stops_the_stage(config, tmp_path, monkeypatch):
    def broken(parts, config, out):
        summary = part_merge(parts, config, out)
        path = out / "interactions.parquet"
        pl.read_parquet(path).with_columns(timestamp=-pl.col("timestamp")).write_parquet(path)
        return summary

    part_merge = sys.modules["tasks.stages.ingest"].merge
    monkeypatch.setattr(sys.modules["tasks.stages.ingest"], "merge", broken)
    with pytest.raises(DataError, match=r"interactions.parquet, rows 0 to .*column timestamp .*such as -\d"):
        ingest.function(_job(config, tmp_path))


def test_the_rule_of_damaged_files_is_in_the_key_where_a_file_could_be_left_out(tmp_path):
    def reads(num_files: int) -> dict:
        folder = tmp_path / str(num_files)
        for n in range(num_files):
            write_lines(folder / f"{n}.jsonl", [review("u", f"i{n}")])
        return ingest.key(Config(data=DataConfig(source="amazon2023", path=str(folder))), {})[1]

    assert "damaged_files" not in reads(9)
    assert reads(10)["damaged_files"] == "auto"
