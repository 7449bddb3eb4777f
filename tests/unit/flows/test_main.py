"""The command line hands on what was asked for."""

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
