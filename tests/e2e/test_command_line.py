"""The command line as a person uses it: results, short errors, and a run that was killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import ROOT, tiny_command
from tests.support.served import checkpoints, clean_environment
from tests.support.stages import ALWAYS


def _run(command: list[str], expect: int = 0, **environment: str) -> subprocess.CompletedProcess:
    env = clean_environment(**environment)
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280, env=env, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


@pytest.mark.usefixtures("first_report")
def test_a_cached_run_says_so_stage_by_stage_and_ends_with_the_table(store):
    done = _run(tiny_command(store))
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if re.match(r"  \w+ +cached ", line)}
    assert sorted(lines) == sorted(ALWAYS)  # those that do not wait for each other in any order
    assert list(lines)[-1] == "evaluate"
    assert "starting Ray" not in done.stdout
    assert "Score of sft: semantic ids " in done.stdout
    for model in ("sft", "itemcf", "popularity"):
        assert re.search(rf"\b{model}\b.*0\.\d+", done.stdout)
    assert "report.html" in done.stdout


@pytest.mark.usefixtures("first_report")
def test_the_report_command_prints_the_latest_run(store):
    done = _run([sys.executable, "-m", "flows", "report", "--store", str(store)])
    assert "popularity" in done.stdout
    assert "report.html" in done.stdout
    missing = _run([sys.executable, "-m", "flows", "report", "nowhere", "--store", str(store)], expect=1)
    assert "no report there; finished runs, newest first: " in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "sft.learning_rte=1"], 2, "sft.learning_rte: unknown setting; did you mean learning_rate?"),
        (["--config", "conf/dmeo.yaml"], 2, "conf/dmeo.yaml: no such config file; did you mean conf/demo.yaml?"),
        (["--until", "sdi"], 2, "'sdi' is not a stage; the stages are ingest"),
        (["--from-stage", "all"], 2, "'all' is not a stage"),
        (["--set", "data.source=table", "--set", "data.path=nowhere"], 1, "nowhere"),
    ],
    ids=["typo", "file", "until", "from-stage", "path"],
)
def test_a_mistake_is_answered_in_a_line_or_two_without_a_traceback(tmp_path, arguments, code, message):
    command = [sys.executable, "-m", "flows", "run", "--config", "conf/demo.yaml", "--store", str(tmp_path), *arguments]
    done = _run(command, expect=code)
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


LONG_SFT = ["--until", "sft", "--set", "sft.epochs=16", "--set", "sft.patience=16", "--set", "sft.checkpoint_every_s=0",
            "--set", "data.options.num_users=600"]  # fmt: skip


def _killed_in_sft_and_started_again(store: Path) -> subprocess.CompletedProcess:
    process = subprocess.Popen(
        tiny_command(store, *LONG_SFT), cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_for(lambda: checkpoints(store), process)
        time.sleep(1.0)
        assert process.poll() is None, "training was over before it could be killed"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    assert not any((store / "objects").glob("sft-*"))
    return _run(tiny_command(store, *LONG_SFT))


@pytest.mark.timeout(900)  # two runs, on whatever machine
def test_a_run_killed_in_the_middle_of_sft_goes_on_from_its_last_checkpoint(tmp_path):
    done = _killed_in_sft_and_started_again(tmp_path)
    assert "going on from its last checkpoint" in done.stdout
    assert len(re.findall(r"^  \w+ +cached", done.stdout, re.MULTILINE)) == 5


@pytest.mark.slow
def test_a_killed_and_resumed_run_ends_with_the_bytes_of_one_that_ran_through(tmp_path):
    _killed_in_sft_and_started_again(tmp_path / "killed")
    _run(tiny_command(tmp_path / "whole", *LONG_SFT))
    digests = []
    for store in (tmp_path / "killed", tmp_path / "whole"):
        stages = json.loads((store / "runs/latest/report.json").read_text())["stages"]
        digests.append(next(s["digest"] for s in stages if s["name"] == "sft"))
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_a_run_whose_parent_has_ended_goes_on_to_its_end(tmp_path):
    """As under nohup from a shell that was closed, or as a systemd unit: its parent is process 1."""
    log = tmp_path / "log"
    command = tiny_command(tmp_path / "store", "--until", "ingest")
    start = 'log="$1"; shift; nohup "$@" > "$log" 2>&1 & echo $!'
    shell = subprocess.run(["sh", "-c", start, "sh", str(log), *command], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    run = psutil.Process(int(shell.stdout))
    deadline = time.monotonic() + 200
    while run.is_running() and run.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    assert "report  " in log.read_text(), log.read_text()


def _wait_for(condition, process: subprocess.Popen, timeout_s: float = 200) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "the run ended early"
        assert time.monotonic() < deadline, "nothing to wait for"
        time.sleep(0.05)
