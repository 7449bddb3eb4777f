"""The evaluate stage: which models it decodes, in which parts."""

import contextlib
from types import SimpleNamespace

import pytest

from genrec.config import Config
from genrec.measure.decoding import decode_shard
from genrec.measure.evaluation import merge
from genrec.measure.predictions import LISTS
from genrec.store.local import Artifact
from tasks.stages.evaluate import evaluate
from tests.support.evaluate_tiny import write_prepared


@pytest.mark.parametrize(
    ("improved", "decoded", "identical"),
    [
        (False, {"sft": ("ids", "dense", "transitions")}, {"rl": "sft"}),
        (True, {"sft": ("ids", "dense", "transitions"), "rl": ("ids",)}, {}),
    ],
)
def test_a_model_that_rl_left_as_it_was_is_not_decoded_twice(tmp_path, improved, decoded, identical):
    calls = []

    def ray_tasks(function, given, **how):
        calls.extend((function, call) for call in given)
        return [{"decode": {}}]

    config = Config.model_validate({"evaluate": {"num_shards": 3}})
    scratch = contextlib.nullcontext(tmp_path)
    job = SimpleNamespace(config=config, out=tmp_path / "out", scratch=lambda: scratch, ray_tasks=ray_tasks)
    paths = {"prepare": write_prepared(tmp_path / "prepared")}
    artifacts = {
        stage: Artifact(stage, stage, paths.get(stage, tmp_path / stage), "", {"improved": improved}, 0.0)
        for stage in ("prepare", "sid", "base", "sft", "rl", "baselines")
    }
    assert evaluate.function(job, **artifacts) == {"decode": {}}
    shards = [call for function, call in calls if function is decode_shard]
    assert {call["name"]: call["alone"] for call in shards} == decoded
    assert len(shards) == 3 * len(decoded)
    assert all(call["model"] == tmp_path / call["name"] for call in shards)
    ((_, merging),) = [found for found in calls if found[0] is merge]
    assert merging["identical"] == identical


@pytest.mark.parametrize("has_lists", [True, False])
def test_lists_of_the_rank_stage_are_measured_where_there_are_any(tmp_path, has_lists):
    calls = []

    def ray_tasks(function, given, **how):
        calls.extend((function, call) for call in given)
        return [{}]

    scratch = contextlib.nullcontext(tmp_path)
    job = SimpleNamespace(config=Config(), out=tmp_path / "out", scratch=lambda: scratch, ray_tasks=ray_tasks)
    paths = {"prepare": write_prepared(tmp_path / "prepared")}
    if has_lists:
        (tmp_path / "rank" / LISTS).mkdir(parents=True)
    artifacts = {
        stage: Artifact(stage, stage, paths.get(stage, tmp_path / stage), "", {"improved": True}, 0.0)
        for stage in ("prepare", "sid", "base", "sft", "rl", "baselines", "rank")
    }
    evaluate.function(job, **artifacts)
    ((_, merging),) = [found for found in calls if found[0] is merge]
    assert merging.get("ranked") == (tmp_path / "rank" / LISTS if has_lists else None)
