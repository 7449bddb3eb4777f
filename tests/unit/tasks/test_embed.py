"""The embed stage: vectors travel by files that the workers write, and a later attempt encodes what is missing."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from genrec.config import Config
from genrec.store.local import Artifact
from tasks.stage import Job
from tasks.stages.embed import embed
from tests.support.embed_tiny import WORDS, catalogue_of, save_tiny

NUM_SHARDS = 3


class HereJob(Job):
    """Runs the tasks of a stage in this process, one after the other, and notes what they are given and return."""

    def ray_tasks(self, function, calls, reports_progress=False, rows=None, use=None):
        self.reads["calls"] = calls
        self.reads["results"] = [function(**call) for call in calls]
        return self.reads["results"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    titles = [f"{a} {b}" for a in WORDS[:6] for b in WORDS[6:12]]
    pq.write_table(catalogue_of([{"title": title} for title in titles]), folder / "catalogue.parquet")
    return Artifact("prepare-0", "prepare", folder, "0123456789abcdef01", {}, 0.0)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    model = str(save_tiny(tmp_path_factory.mktemp("encoder")))
    options = {"method": "transformer", "fields": ["title"], "options": {"model": model}, "num_shards": NUM_SHARDS}
    return Config.model_validate({"embed": options})


def _job(config: Config, folder: Path) -> HereJob:
    out, work = folder / "out", folder / "work"
    for path in (out, work):
        path.mkdir(parents=True, exist_ok=True)
    return HereJob("embed", config, out, work, None)


def _bytes(job: Job) -> bytes:
    return (job.out / "vectors.parquet").read_bytes()


def test_workers_return_names_of_files_and_no_vectors(config, prepared, tmp_path):
    job = _job(config, tmp_path)
    summary = embed.function(job, prepared)
    assert [path.name for path in job.reads["results"]] == [
        f"vectors-0123456789abcdef-{i}-of-{NUM_SHARDS}.npy" for i in range(3)
    ]
    assert all(isinstance(path, Path) for path in job.reads["results"])
    assert summary["num_encoded"] == 36


def test_an_attempt_after_a_killed_one_encodes_the_missing_shards_and_ends_with_the_same_bytes(
    config, prepared, tmp_path
):
    whole = _job(config, tmp_path / "whole")
    embed.function(whole, prepared)
    job = _job(config, tmp_path / "cut off")
    embed.function(job, prepared)
    (job.work / f"vectors-0123456789abcdef-1-of-{NUM_SHARDS}.npy").unlink()
    (job.work / f"vectors-0123456789abcdef-1-of-{NUM_SHARDS}.0000.partial").write_bytes(b"half of a fil")
    (job.out / "vectors.parquet").unlink()
    embed.function(job, prepared)
    assert len(job.reads["calls"]) == 1
    assert job.reads["calls"][0]["file"].name == f"vectors-0123456789abcdef-1-of-{NUM_SHARDS}.npy"
    assert _bytes(job) == _bytes(whole)


def test_shards_of_another_number_are_not_taken(config, prepared, tmp_path):
    job = _job(config, tmp_path)
    embed.function(job, prepared)
    others = config.model_copy(update={"embed": config.embed.model_copy(update={"num_shards": 2})})
    again = _job(others, tmp_path)
    embed.function(again, prepared)
    assert len(again.reads["calls"]) == 2


def test_an_encoder_that_is_fitted_is_fitted_again_for_it_is_saved_with_the_artifact(prepared, tmp_path):
    config = Config.model_validate({"embed": {"method": "lsa", "fields": ["title"], "options": {"dim": 4}}})
    job = _job(config, tmp_path)
    embed.function(job, prepared)
    model = {path.name for path in job.out.iterdir()}
    for path in job.out.iterdir():
        path.unlink()
    again = _job(config, tmp_path)
    embed.function(again, prepared)
    assert {path.name for path in again.out.iterdir()} == model
    assert len(again.reads["calls"]) == 1


def test_the_parts_joined_from_files_are_those_joined_from_memory(config, prepared, tmp_path):
    from genrec.embed.encode import encode_shard, split_texts, write_vectors

    job = _job(config, tmp_path)
    embed.function(job, prepared)
    catalogue = prepared.path / "catalogue.parquet"
    parts = [encode_shard(texts, config.embed) for texts in split_texts(catalogue, config.embed, NUM_SHARDS)]
    write_vectors(catalogue, config.embed, parts, tmp_path)
    assert _bytes(job) == (tmp_path / "vectors.parquet").read_bytes()
    assert parts[0].dtype == np.float32
