"""The command line hands on what was asked for."""

import os
import resource
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import flows.__main__ as main
from tests.e2e.conftest import ROOT


@pytest.fixture
def asked(monkeypatch):
    """What `run` asks of the flow, without running it."""
    found = {}
    monkeypatch.setattr(main, "run_flow", lambda config, **arguments: found.update(arguments) or {})
    monkeypatch.setattr(main, "print_report", lambda report, store: None)
    monkeypatch.setattr(main.environment, "prepare", lambda store, debug: None)
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"from_stage": None, "refresh": [], "until": None, "refresh_elsewhere": False}),
        (["--refresh-elsewhere"], {"refresh_elsewhere": True}),
        (["--refresh", "sid", "--refresh", "sft", "--until", "rl"], {"refresh": ["sid", "sft"], "until": "rl"}),
    ],
)
def test_run_hands_on_what_is_to_be_recomputed(asked, tmp_path, options, expected):
    command = ["run", "--config", str(ROOT / "conf" / "demo.yaml"), "--store", str(tmp_path), *options]
    done = CliRunner().invoke(main.app, command)
    assert done.exit_code == 0, done.output
    assert expected.items() <= asked.items()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--help"], 0, "Usage"),
        (["run", "--help"], 0, "--from-stage"),
        (["run", "-c", "conf/demo.yaml", "--set", "sft.learning_rte=1"], 2, "did you mean learning_rate?"),
        (["run", "-c", "conf/demo.yaml", "--set", "sid.method=rqkmean"], 2, "did you mean rqkmeans?"),
        (["run", "-c", "conf/demo.yaml", "--set", "data.options.users=1"], 2, "did you mean num_users?"),
        (["run", "-c", "conf/demo.yaml", "--until", "sdi"], 2, "'sdi' is not a stage"),
        (["run", "-c", "conf/dmeo.yaml"], 2, "did you mean conf/demo.yaml?"),
        (["run", "-c", "conf/table.yaml", "--set", "data.path=nowhere"], 1, "data.path is nowhere"),
        (["run", "-c", "conf/demo.yaml", "--set", "base.model=./nowhere"], 1, "base.model: ./nowhere"),
        (["compare", "--configs", "conf/demo.yaml", "--set", "sft.learning_rte=1"], 2, "did you mean learning_rate?"),
        (["report", "nosuch"], 1, "there is no finished run yet"),
        (["current"], 0, "nothing in service yet"),
        (["promote", "nosuch"], 1, "no finished run yet"),
        (["prune"], 0, "to remove: nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_mistakes_are_answered_within_two_seconds_of_computing(tmp_path, arguments, code, message):
    store = [] if "--help" in arguments else ["--store", str(tmp_path)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments, *store],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code, done.stderr
    assert message in done.stdout + done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
    assert not (tmp_path / "prefect").exists()
