"""The embed stage: vectors travel by files that the workers write, and a later attempt encodes what is missing."""

import dataclasses
import pickle
from pathlib import Path

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
        results = [function(**call) for call in calls]
        self.reads[function.__name__] = (calls, results)
        return results

    def ray_task(self, function, **call):
        return self.ray_tasks(function, [call])[0]


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


def test_neither_texts_nor_vectors_go_to_the_workers_or_come_back(config, prepared, tmp_path):
    job = _job(config, tmp_path)
    summary = embed.function(job, prepared)
    calls, results = job.reads["encode_pieces"]
    assert [[piece.file.parent for piece in call["pieces"]] for call in calls] == [[job.work]] * NUM_SHARDS
    assert results == [None] * NUM_SHARDS
    assert len(pickle.dumps(calls)) < 10_000
    assert job.reads["write_vectors"][1] == [{k: v for k, v in summary.items() if k != "taken_over"}]
    assert summary["num_encoded"] == 36


def test_an_attempt_after_a_killed_one_encodes_the_missing_pieces_and_ends_with_the_same_bytes(
    config, prepared, tmp_path
):
    whole = _job(config, tmp_path / "whole")
    embed.function(whole, prepared)
    job = _job(config, tmp_path / "cut off")
    embed.function(job, prepared)
    lost = job.reads["encode_pieces"][0][1]["pieces"][0].file
    lost.unlink()
    lost.with_suffix(".0000.partial").write_bytes(b"half of a fil")
    (job.out / "vectors.parquet").unlink()
    embed.function(job, prepared)
    (call,) = job.reads["encode_pieces"][0]
    assert [piece.file for piece in call["pieces"]] == [lost]
    assert _bytes(job) == _bytes(whole)


def test_texts_that_were_prepared_anew_are_encoded_anew(config, prepared, tmp_path):
    job = _job(config, tmp_path)
    embed.function(job, prepared)
    embed.function(job, dataclasses.replace(prepared, digest="fedcba9876543210fe"))
    assert len(job.reads["encode_pieces"][0]) == NUM_SHARDS


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
    assert len(again.reads["fit_all"][0]) == 1


def test_a_model_that_was_fitted_on_a_sample_is_not_fitted_again_after_a_kill(prepared, tmp_path):
    options = {
        "method": "lsa",
        "fields": ["title"],
        "options": {"dim": 4, "hashed_above": 10},
        "num_shards": NUM_SHARDS,
    }
    config = Config.model_validate({"embed": options})
    job = _job(config, tmp_path)
    embed.function(job, prepared)
    made, model = _bytes(job), {path.name for path in job.out.iterdir()}
    assert model == {"vectors.parquet", "encoder.json", "encoder.safetensors", "texts.json"}
    job.reads["encode_pieces"][0][0]["pieces"][0].file.unlink()
    again = _job(config, tmp_path)
    embed.function(again, prepared)
    assert "fit_sample" not in again.reads
    assert len(again.reads["encode_pieces"][0]) == 1
    assert _bytes(again) == made


def test_the_stage_gives_what_one_process_gives(config, prepared, tmp_path):
    from genrec.embed.encode import embed_catalogue

    job = _job(config, tmp_path)
    embed.function(job, prepared)
    here = tmp_path / "here"
    here.mkdir()
    embed_catalogue(prepared.path / "catalogue.parquet", config.embed, here, here)
    assert _bytes(job) == (here / "vectors.parquet").read_bytes()
