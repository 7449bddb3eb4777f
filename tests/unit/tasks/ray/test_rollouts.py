"""Rollout actors in Ray: any number of them, and deaths among them, leave every byte as it is."""

import os
import signal
import threading

import numpy as np
import pytest
import ray

from genrec.config import Config
from genrec.errors import GenrecError
from genrec.train.rl.rollout import RolloutWorker, get_weights
from tasks.ray.made_on import notes
from tasks.ray.rollouts import RayRollouts
from tasks.ray.worker_log import LogReader, log_to
from tests.support.rl_runs import make_prompts
from tests.support.rl_tiny import MAX_HISTORY, tiny_policy, write_sids

pytestmark = pytest.mark.slow

NUM_PROMPTS = 400


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("actors")
    tiny_policy().save(folder / "sft")
    return {"sft": folder / "sft", "base": None, "sids": write_sids(folder / "sids.parquet")}


def make_config(num_workers: int) -> Config:
    rl = {"group_size": 6, "rollout": {"mode": "sample", "chunk_size": 4}, "num_rollout_workers": num_workers}
    return Config.model_validate({"rl": rl})


@pytest.fixture
def actors(ray_cluster, places):
    """Starts actors of the tiny policy; all of them end with the test."""
    started = []

    def start(num_workers: int) -> RayRollouts:
        config = make_config(num_workers)
        worker = {**places, "config": config.rl, "max_history": MAX_HISTORY, "seed": 0}
        started.append(RayRollouts(config, 0.1, worker))
        return started[-1]

    yield start
    for rollouts in started:
        rollouts.close()


@pytest.fixture(scope="module")
def expected(places):
    """Candidates of two steps with other weights, generated in this process."""
    worker = RolloutWorker.load(**places, config=make_config(0).rl, max_history=MAX_HISTORY, seed=0)
    prompts = make_prompts(NUM_PROMPTS)
    first = worker.generate(0, prompts)
    worker.set_weights(new_weights())
    return [first, worker.generate(1, prompts)]


def old_weights():
    return get_weights(tiny_policy().trainable_parameters())


def new_weights():
    return get_weights(tiny_policy(seed=5).trainable_parameters())


def equal(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_actors_that_are_killed_are_replaced_and_no_candidate_changes(actors, expected):
    rollouts, prompts = actors(2), make_prompts(NUM_PROMPTS)
    assert equal(rollouts(0, prompts, old_weights), expected[0])
    assert rollouts.deaths == 0
    pids = ray.get([actor.pid.remote() for actor in rollouts.actors])

    def kill():
        """One before it gets its first chunk, the other while it works."""
        os.kill(pids[0], signal.SIGKILL)
        threading.Timer(0.02, os.kill, (pids[1], signal.SIGKILL)).start()
        return new_weights()

    assert equal(rollouts(1, prompts, kill), expected[1])
    assert rollouts.deaths == 2
    assert not set(ray.get([actor.pid.remote() for actor in rollouts.actors])) & set(pids)


def test_the_lines_of_actors_are_read_with_those_of_the_task_that_started_them(actors, tmp_path):
    reader = LogReader(tmp_path)
    with log_to(reader.file(0)):
        rollouts = actors(2)
        pids = ray.get([actor.pid.remote() for actor in rollouts.actors])
    found = [text for _, text in reader.new()]
    assert sorted(found) == sorted(f"rollout actor started in process {pid}" for pid in pids)
    reader.remove()
    assert list(tmp_path.iterdir()) == notes(tmp_path) != []  # and on what they run


def test_actors_that_cannot_start_end_the_stage_with_the_reason(ray_cluster, places, tmp_path):
    config = make_config(1)
    worker = {**places, "sft": tmp_path / "nothing", "config": config.rl, "max_history": MAX_HISTORY, "seed": 0}
    rollouts = RayRollouts(config, 0.1, worker)
    with pytest.raises(GenrecError, match=r"could not start .*nothing: no genrec.json"):
        rollouts(0, make_prompts(4), old_weights)
    rollouts.close()
