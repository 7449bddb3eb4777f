"""Runs that fail or are killed: the next attempt recomputes the stage in flight alone. Everything here is the API's view."""

import os
import signal
import time
from pathlib import Path

import pytest

from tasks.stages.sft import sft
from tests.support.served import LONG_SFT, Served, left_over, named
from tests.support.stages import ALWAYS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # on a busy machine, seconds become minutes

SHOP = "data.options.num_users=600"
LONG = [SHOP, *LONG_SFT]
BEFORE = ALWAYS[: ALWAYS.index("sft")]


@pytest.fixture(scope="module")
def crashing(tmp_path_factory):
    up = Served(tmp_path_factory.mktemp("crashing"))
    run = up.start(settings=LONG, until="base")
    assert up.finished(run) == "Completed", up.output()[-3000:]
    yield up
    up.stop()


def _only_sft_was_computed(up: Served, run: str) -> None:
    status = up.tasks(run)
    assert {status[s] for s in BEFORE} == {"Cached"}, status
    assert status["sft"] == "Completed"


def _fails_in_sft(up: Served, epochs: int) -> tuple[str, Path]:
    """A run whose sft failed, and the file that made it fail."""
    settings = [*LONG, f"sft.epochs={epochs}"]
    keys = {p.name.partition("-")[0]: p.name for p in (up.store / "objects").iterdir()}
    obstacle = up.obstruct(sft, settings, keys)
    run = up.start(settings=settings, until="sft")
    assert up.finished(run) == "Failed"
    up.wait(lambda: up.tasks(run).get("sft") == "Failed", "the server to record the stage's end")  # after the run's
    return run, obstacle


def test_a_failed_run_is_retried_under_its_id_and_computes_the_failed_stage_alone(crashing):
    run, obstacle = _fails_in_sft(crashing, 2)
    obstacle.unlink()
    crashing.retry(run)
    assert crashing.finished(run) == "Completed"
    _only_sft_was_computed(crashing, run)
    assert crashing.call("GET", f"/flow_runs/{run}")["run_count"] == 2


def test_a_fresh_run_of_the_same_parameters_as_a_failed_one_computes_the_failed_stage_alone(crashing):
    failed, obstacle = _fails_in_sft(crashing, 3)
    obstacle.unlink()
    run = crashing.start(settings=[*LONG, "sft.epochs=3"], until="sft")
    assert crashing.finished(run) == "Completed"
    _only_sft_was_computed(crashing, run)
    assert crashing.state(failed) == "Failed"


@pytest.mark.parametrize(
    ("victim", "outcome"),
    [
        ("prefect.engine", "Crashed"),
        ("ray::sft", "Failed"),
        ("raylet/raylet", "Failed, Crashed or Completed"),  # a worker that is near its end may still deliver
        ("gcs_server", "Failed, Crashed or Completed"),
        ("flows.serve.runner", "Crashed"),
    ],
)
def test_after_a_kill_in_the_middle_of_training_a_retry_completes_and_reuses_all_before(crashing, victim, outcome):
    dropout = {
        "prefect.engine": 0.11,
        "ray::sft": 0.12,
        "raylet/raylet": 0.13,
        "gcs_server": 0.14,
        "flows.serve.runner": 0.15,
    }
    run = crashing.in_training(SHOP, f"sft.dropout={dropout[victim]}")
    assert crashing.state(run) == "Running"
    for pid in named(crashing.below(), victim) or pytest.fail(f"no process {victim}"):
        os.kill(pid, signal.SIGKILL)
    ended = crashing.finished(run)
    assert ended in outcome
    if ended != "Completed":
        crashing.retry(run)
        assert crashing.finished(run) == "Completed", crashing.output()[-3000:]
        assert any("going on from its last checkpoint" in line["message"] for line in crashing.logs(run))
    _only_sft_was_computed(crashing, run)


def test_a_run_outlives_the_death_of_the_prefect_server(crashing):
    run = crashing.in_training(SHOP, "sft.dropout=0.16")
    (server,) = named(crashing.below(), "flows.serve.web")
    os.kill(server, signal.SIGKILL)
    crashing.wait(lambda: named(crashing.below(), "flows.serve.web") not in ([], [server]), "the server to be started")
    assert crashing.finished(run) == "Completed", crashing.output()[-3000:]
    _only_sft_was_computed(crashing, run)


def test_two_runs_fired_at_once_wait_in_line_and_the_second_finds_everything_done(crashing):
    runs = [crashing.start(settings=[*LONG, "sft.dropout=0.17"], until="sft") for _ in range(2)]
    waits = "AwaitingConcurrencySlot"  # either of them: which one is submitted first is the server's affair
    crashing.wait(lambda: waits in [crashing.state(run) for run in runs], "one of them to wait", 120)
    assert [crashing.finished(run) for run in runs] == ["Completed", "Completed"]
    assert sorted(crashing.tasks(run)["sft"] for run in runs) == ["Cached", "Completed"]


def test_after_a_kill_of_serve_itself_nothing_is_left_and_the_next_one_takes_up_the_run(tmp_path):
    up = Served(tmp_path)
    run = up.in_training(SHOP)
    pids = [up.process.pid, *up.below()]
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait(10)
    for _ in range(600):  # the runner gives its runs 35 s to end Ray
        if not left_over(pids, tmp_path):
            break
        time.sleep(0.1)
    assert left_over(pids, tmp_path) == []
    again = Served(tmp_path)
    try:
        assert again.state(run) == "Crashed"
        again.retry(run)
        assert again.finished(run) == "Completed"
        _only_sft_was_computed(again, run)
    finally:
        again.stop()


def test_the_automation_marks_a_run_crashed_whose_heartbeats_stop(crashing):
    """A run that nobody watches: made by hand, set running, and never heard of again."""
    from flows.serve.automations import SILENCE_S

    run = crashing.call("POST", f"/deployments/{crashing.deployment('embed-only')['id']}/create_flow_run", {
        "parameters": {}, "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}},
    })["id"]  # fmt: skip
    state = {"type": "RUNNING", "name": "Running"}
    assert crashing.call("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})["status"] == "ACCEPT"
    assert crashing.finished(run, timeout_s=SILENCE_S + 90) == "Crashed"
    assert "process is gone" in crashing.call("GET", f"/flow_runs/{run}")["state"]["message"]
