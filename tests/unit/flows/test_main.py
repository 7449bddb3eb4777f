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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "HF_TOKEN=hf_canaryCANARYcanary0123"], "HF_TOKEN: holds a secret"),
        (["--set", "sft.epohs=canary"], "did you mean epochs?"),
        (["--set", "sft.epochs=canary"], "sft.epochs: "),
        (["--set", "canary"], "write section.setting=value"),
        (["--set", "base.model=hf_canaryCANARYcanary0123"], "base.model: holds a secret"),
        (["--store", "s3://someone:canary@bucket/x"], "store: holds a secret"),
        (["HF_TOKEN=canary"], "unexpected extra argument"),
        (["--sett", "HF_TOKEN=canary"], "No such option"),
        (["--until", "hf_canaryCANARYcanary0123"], "***"),
    ],
)
def test_no_secret_and_no_value_of_a_wrong_setting_is_printed(asked, arguments, says):
    done = CliRunner().invoke(main.app, ["run", "--config", str(ROOT / "conf" / "demo.yaml"), *arguments])
    assert done.exit_code in (1, 2)
    assert asked == {}
    assert "canary" not in done.output.lower()
    assert says in " ".join(done.output.replace("│", "").split())


def test_an_unexpected_error_is_printed_without_a_secret(asked, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("refused: password=canary at https://someone:canary@host/x")

    monkeypatch.setattr(main, "run_flow", fail)
    done = CliRunner().invoke(main.app, ["run", "--config", str(ROOT / "conf" / "demo.yaml")])
    assert done.exit_code == 1
    assert "canary" not in done.output
    assert "RuntimeError: refused: password=*** at https://***@host/x" in done.output
