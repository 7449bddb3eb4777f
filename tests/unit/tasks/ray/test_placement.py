"""What tasks reserve, and that a stage whose tasks fit no node says so."""

import pytest

from genrec.config import StageResources
from genrec.errors import GenrecError
from tasks.ray import placement as module
from tasks.ray.placement import Waiting, placement
from tasks.ray.watch import Watcher, watching

GIB = 1 << 30
TWO = [{"CPU": 2.0, "memory": 4.0 * GIB}, {"CPU": 4.0, "memory": 2.0 * GIB}]


class Heard(Watcher):
    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


def test_a_task_reserves_cores_of_one_node_and_memory_where_it_is_asked_for():
    assert placement(StageResources(num_cpus=1), TWO).options() == {"num_cpus": 1, "num_gpus": 0}
    placed = placement(StageResources(num_cpus=1, memory_gib=1.5), TWO)
    assert placed.options() == {"num_cpus": 1, "num_gpus": 0, "memory": 3 * GIB // 2}


@pytest.mark.parametrize(
    ("asked", "cores", "threads"),
    [
        ({"num_cpus": 6}, 4, 4),  # not the 6 of both nodes together: Ray would wait for such a node without end
        ({"num_cpus": 6, "memory_gib": 3}, 2, 2),
        ({"num_cpus": 0.5}, 0.5, 1),
        ({"num_cpus": 6, "num_threads": 3}, 4, 3),
    ],
)
def test_more_cores_than_a_node_has_are_lowered_to_those_of_the_largest_that_is_able(asked, cores, threads):
    placed = placement(StageResources(**asked), TWO)
    assert (placed.num_cpus, placed.threads) == (cores, threads)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"memory_gib": 5}, r"a task needs 1 cores, 5\.0 GiB on one node.*2 cores, 4\.0 GiB; 4 cores, 2\.0 GiB"),
        ({"num_gpus": 1}, "a task needs 1 cores, 1 GPUs on one node"),
    ],
)
def test_a_task_that_no_node_can_hold_ends_the_stage_with_what_it_needs_and_what_there_is(asked, words):
    waiting = Waiting("embed", placement(StageResources(**asked), TWO), joined=False)
    with pytest.raises(GenrecError, match=rf"stage embed: {words}.*lower resources\.embed"):
        waiting.check(TWO)


def test_on_a_cluster_it_is_said_and_waited_for_until_patience_ends(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    heard = Heard()
    waiting = Waiting("embed", placement(StageResources(memory_gib=5), TWO), joined=True)
    with watching(heard):
        waiting.check(TWO)
        now[0] += module.PATIENCE_S - 1
        waiting.check(TWO)
        assert len(heard.messages) == 1
        assert "waits 15 minutes for such a node" in heard.messages[0]
        now[0] += 1
        with pytest.raises(GenrecError, match="no node of Ray has that"):
            waiting.check(TWO)


def test_a_node_that_comes_in_time_ends_the_wait():
    waiting = Waiting("embed", placement(StageResources(memory_gib=5), TWO), joined=True)
    waiting.check(TWO)
    assert not waiting.over
    waiting.check([*TWO, {"CPU": 1.0, "memory": 8.0 * GIB}])
    assert waiting.over
