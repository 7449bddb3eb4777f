"""What the processes of a stage note of what they run on, and what is known before any of them runs."""

import json
import os

import pytest

from genrec.config import ResourcesConfig, StageResources
from tasks.ray.made_on import asked_threads, here, made_on, note, notes

HERE = ResourcesConfig(num_cpus=2)


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_each_kind_of_process_is_noted_once_and_an_earlier_attempt_stays(tmp_path):
    for threads in (2, 2, 1):
        note(tmp_path / "work", threads)
    found = made_on(tmp_path / "work", HERE, StageResources(num_cpus=2))
    assert found["threads"] == 2
    assert sorted(process["threads"] for process in found["processes"]) == [1, 2]
    assert {path.suffix for path in (tmp_path / "work").iterdir()} == {".json"}


def test_a_stage_that_starts_no_process_was_made_by_this_one(tmp_path):
    (process,) = made_on(tmp_path, HERE, StageResources(num_threads=3))["processes"]
    assert process["threads"] == 3
    assert notes(tmp_path) == []


def test_where_ray_runs_on_this_machine_its_hardware_is_known_and_what_was_made_here_does_not_differ(tmp_path):
    note(tmp_path, 2)
    (noted,) = (json.loads(path.read_text()) for path in notes(tmp_path))
    known = here(HERE)
    assert {name: noted[name] for name in known} == known
    assert {"cpu", "device", "versions"} == known.keys()


def test_of_a_cluster_only_the_versions_are_known(monkeypatch):
    assert here(ResourcesConfig(ray_address="auto")).keys() == {"versions"}
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert here(HERE).keys() == {"versions"}


@pytest.mark.parametrize(
    ("resources", "use", "expected"),
    [
        (HERE, StageResources(num_cpus=1.5), 2),
        (HERE, StageResources(num_cpus=8), 2),  # no more than there are cores
        (HERE, StageResources(num_cpus=0), 1),
        (HERE, StageResources(num_cpus=1, num_threads=4), 4),
        (ResourcesConfig(ray_address="auto"), StageResources(num_cpus=8), 8),
    ],
)
def test_threads_follow_from_the_config_and_the_cores(resources, use, expected):
    assert asked_threads(resources, use) == expected


def test_two_processes_of_one_number_on_two_hosts_note_the_same_at_the_same_time(tmp_path, monkeypatch):
    def replace(source, target, real=os.replace):
        monkeypatch.setattr(os, "replace", real)
        note(tmp_path, 3)  # by the other one, which is done first
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    note(tmp_path, 3)
    assert len(notes(tmp_path)) == len(list(tmp_path.iterdir())) == 1
