"""Runs that are stopped on purpose: cancelled, in good order, and nothing that looks like a failure."""

import logging
import signal
import subprocess

import pytest

from tests.e2e.conftest import ROOT, tiny_command
from tests.support.served import LONG_SFT, checkpoints, clean_environment, named

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # a server, a runner and whole runs: minutes


def test_a_run_that_is_cancelled_ends_so_with_its_stage_and_without_an_error_anywhere(served):
    run = served.in_training("sft.dropout=0.31")
    cancelling = {"type": "CANCELLING", "name": "Cancelling"}
    served.call("POST", f"/flow_runs/{run}/set_state", {"state": cancelling})
    assert served.finished(run) == "Cancelled"
    assert set(served.tasks(run).values()) <= {"Cached", "Completed", "Cancelled"}
    assert served.tasks(run)["sft"] == "Cancelled"
    served.wait(lambda: not named(served.below(), "prefect.engine"), "the process of the run to end")
    assert [line["message"] for line in served.logs(run) if line["level"] >= logging.WARNING] == []
    for sign in ("Traceback", "SIGTERM received", "status code", "Crash detected"):
        assert sign not in served.output()


def test_ctrl_c_on_the_command_line_is_a_cancelled_run_in_the_server_that_is_up(served):
    seen, known = checkpoints(served.store), {r["id"] for r in served.call("POST", "/flow_runs/filter", {})}
    overrides = [word for setting in (*LONG_SFT, "sft.dropout=0.32") for word in ("--set", setting)]
    command = subprocess.Popen(
        tiny_command(served.store, *overrides), cwd=ROOT, env=clean_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    served.wait(lambda: checkpoints(served.store) - seen, "a checkpoint of sft")
    command.send_signal(signal.SIGINT)
    output = command.communicate(timeout=120)[0]
    assert command.returncode == 130, output
    assert "the same command goes on from there" in output
    assert "Traceback" not in output
    (run,) = {r["id"] for r in served.call("POST", "/flow_runs/filter", {})} - known
    assert served.was_stopped(run)
    assert served.tasks(run)["sft"] == "Cancelled"
