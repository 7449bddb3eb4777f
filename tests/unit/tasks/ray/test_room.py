"""Stages side by side hold no more cores than there are, and one of them the GPU."""

import contextvars
import threading

import pytest

from genrec.config import Config
from tasks.ray import room
from tasks.ray.room import room_for
from tasks.ray.watch import Watcher, watching
from tasks.stop import Stopped, stoppable

PATIENCE_S = 60


class Heard(Watcher):
    def __init__(self):
        self.said, self.waits = [], threading.Event()

    def message(self, text):
        self.said.append(text)
        self.waits.set()


def _config(cores, actors=1, **stages):
    resources = {"num_cpus": cores, **stages}
    return Config.model_validate({"resources": resources, "rl": {"num_rollout_workers": actors}})


def _waits_for(config, at_work, stage):
    """Whether `stage` waits while `at_work` computes; and that it goes on once that has ended."""
    heard, entered = Heard(), threading.Event()

    def work():
        with room_for(config, stage):
            entered.set()

    with watching(heard):
        with room_for(config, at_work):
            thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
            thread.start()
            while not (entered.is_set() or heard.waits.is_set()):
                entered.wait(0.01)
            waited = not entered.is_set()
        thread.join(PATIENCE_S)
    assert entered.is_set()
    return waited


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_two_stages_that_there_are_cores_for_compute_at_the_same_time():
    config = _config(4, embed={"num_cpus": 2}, base={"num_cpus": 2})
    assert not _waits_for(config, "embed", "base")


def test_with_the_default_settings_two_cores_hold_one_of_the_large_stages_at_a_time():
    for at_work, stage in (("sid", "base"), ("embed", "base"), ("sft", "baselines"), ("rl", "baselines")):
        assert _waits_for(_config(2), at_work, stage)


def test_a_stage_that_reserves_more_than_there_is_computes_alone():
    config = _config(2, sft={"num_cpus": 16})
    with room_for(config, "sft"):
        pass
    assert _waits_for(config, "sft", "baselines")
    assert _waits_for(config, "baselines", "sft")


def test_two_stages_that_want_a_gpu_of_this_machine_never_compute_at_the_same_time():
    config = _config(64, embed={"num_gpus": 0.25}, sft={"num_gpus": 0.25})
    assert _waits_for(config, "embed", "sft")
    assert not _waits_for(config, "embed", "base")


def test_of_a_cluster_as_many_stages_compute_as_it_has_gpus_for(monkeypatch):
    monkeypatch.setattr(room, "there_are", lambda resources: (64, 2))
    config = _config(0, embed={"num_gpus": 1}, sft={"num_gpus": 1}, evaluate={"num_gpus": 2})
    assert not _waits_for(config, "embed", "sft")
    assert _waits_for(config, "embed", "evaluate")


@pytest.mark.parametrize(("actors", "waits"), [(2, False), (3, True)])
def test_the_actors_of_rl_count_too(actors, waits):
    assert _waits_for(_config(4, rl={"num_cpus": 1}, actors=actors), "rl", "baselines") is waits


def test_a_stage_that_waits_gives_up_when_the_run_is_stopped():
    config, heard, ends = _config(2), Heard(), []

    def work():
        try:
            with room_for(config, "sft"):
                ends.append("computed")
        except Stopped as stopped:
            ends.append(str(stopped))

    with watching(heard), stoppable() as stop, room_for(config, "sid"):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
        thread.start()
        assert heard.waits.wait(PATIENCE_S)
        stop.ask("Ctrl-C")
        thread.join(PATIENCE_S)
    assert ends == ["Ctrl-C"]
    with room_for(config, "sft"):  # nothing is held any more
        pass


def test_the_room_of_a_stage_that_failed_is_free_again():
    config = _config(2)
    with pytest.raises(ValueError, match="lost"), room_for(config, "sft"):
        raise ValueError("lost")
    with room_for(config, "sft"):
        pass
