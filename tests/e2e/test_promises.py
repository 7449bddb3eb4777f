"""Promises of docs/reliability.md on a whole run of seconds, at small counts; tests/bench/bench_promises.py has the full ones."""

import pytest

from tests.support.promises import full_disk, kills, stage_faults, together, trainers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_run_killed_at_a_named_point_leaves_whole_artifacts_and_is_taken_up_by_the_next(tmp_path):
    kills.named_points(tmp_path, 3, (kills.POINTS[7],)).check()


def test_a_run_killed_at_any_moment_leaves_whole_artifacts_and_is_taken_up_by_the_next(tmp_path):
    kills.random_moments(tmp_path, 3, seed=1).check()


def test_each_kind_of_damage_to_an_artifact_is_found_and_made_good_once(tmp_path):
    stage_faults.corruptions(tmp_path, len(stage_faults.MUTATIONS), seed=1).check()


def test_after_a_stage_failed_that_stage_alone_is_computed(tmp_path):
    stage_faults.failed_stages(tmp_path).check()


def test_a_full_disk_ends_a_run_with_the_reason_and_the_next_one_goes_on(tmp_path):
    if not full_disk.can_mount(tmp_path / "probe"):
        pytest.skip("this process may not mount a file system")
    full_disk.full_disks(tmp_path, 1).check()


def test_one_of_the_processes_that_want_a_key_computes_it_also_when_the_first_is_killed(tmp_path):
    together.one_computation(tmp_path, 4, 6).check()


def test_a_run_that_is_fired_again_and_again_is_computed_once(tmp_path):
    together.fired_twice(tmp_path, 2).check()


def test_training_killed_at_each_moment_ends_with_the_bytes_of_one_that_ran_through(tmp_path):
    trainers.killed_trainers(tmp_path, len(trainers.MOMENTS), trainers=("sft",)).check()
