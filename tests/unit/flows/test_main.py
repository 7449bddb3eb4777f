"""The command line hands on what was asked for."""

import os
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import flows.__main__ as main
from flows.commands import runs
from flows.session import print_report
from tests.e2e.conftest import ROOT


@pytest.fixture
def asked(monkeypatch):
    """What `run` asks of the flow, without running it."""
    found = {}
    monkeypatch.setattr(
        runs,
        "run_flow",
        lambda config, recipe, name, **arguments: found.update(arguments, recipe=recipe, name=name) or {},
    )
    monkeypatch.setattr(runs, "print_report", lambda report, store: None)
    monkeypatch.setattr(runs.environment, "prepare", lambda store, debug: None)
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"from_stage": None, "refresh": [], "until": None, "refresh_elsewhere": False}),
        (["--refresh-elsewhere"], {"refresh_elsewhere": True}),
        (["--name", "Spring, try 2"], {"name": "Spring, try 2", "recipe": "default"}),
        (["--config", str(ROOT / "conf" / "generative.yaml")], {"name": "", "recipe": "generative"}),
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
        (["--name", "hf_canaryCANARYcanary0123"], "--name: holds a secret"),
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

    monkeypatch.setattr(runs, "run_flow", fail)
    done = CliRunner().invoke(main.app, ["run", "--config", str(ROOT / "conf" / "demo.yaml")])
    assert done.exit_code == 1
    assert "canary" not in done.output
    assert "RuntimeError: refused: password=*** at https://***@host/x" in done.output


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
        (["login"], 1, "there is no password yet; make serve makes one"),
        (["alerts"], 1, "GENREC_ALERTS_URL is not set; set it to a webhook"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_mistakes_are_answered_before_slow_imports_and_servers(tmp_path, arguments, code, message):
    store = [] if "--help" in arguments else ["--store", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flows", *arguments, *store],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert message in done.stdout + done.stderr
    assert not re.search(r"\| +(torch|ray|prefect|transformers)$", done.stderr, re.MULTILINE)
    assert not (tmp_path / "prefect").exists()


def test_the_help_of_an_option_says_its_default():
    told = []
    for name, command in typer.main.get_command(main.app).commands.items():
        shown = CliRunner().invoke(main.app, [name, "--help"], env={"COLUMNS": "300"}).output
        shown = " ".join(shown.replace("│", "").split())
        texts = [getattr(option, "help", None) or "" for option in command.params]
        told += [text for text in texts if "default: " in text]
        for default in (text.partition("default: ")[2] for text in texts if "default: " in text):
            assert f"[default: {default}" in shown, name
    assert len(told) > 10


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serve", "--port", "99999"], "'--port': Input should be less than or equal to 65535"),
        (["serve", "--store", "{file}"], "{file}: cannot be written (Not a directory); choose another --store"),
        (["settings", "--write", "{file}/x"], "--write {file}/x: Not a directory; name a file in a folder"),
    ],
)
def test_a_port_or_a_file_that_cannot_be_is_answered_with_what_can(tmp_path, monkeypatch, arguments, says):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr("flows.serve.serve.serve_here", lambda *_: None)
    (tmp_path / "file").touch()
    file = str(tmp_path / "file")
    done = CliRunner().invoke(main.app, [a.format(file=file) for a in arguments], env={"COLUMNS": "300"})
    assert done.exit_code in (1, 2)
    assert says.format(file=file) in " ".join(done.output.replace("│", "").split())


def test_the_terminal_says_how_the_input_was_read(capsys, tmp_path):
    data = {
        "interactions_read": 1234,
        "items_described": 5,
        "items_without_metadata": 2,
        "items_without_text": 3,
        "quarantined": {"bad_csv": 4},
        "changes": {"html": 6},
    }
    print_report(
        {"run_id": "r", "data": data, "warnings": ["not read: [bold]a.txt[/] (its name ends in none)"]}, tmp_path
    )
    shown = capsys.readouterr().out
    assert (
        "1,234 interactions read, 5 items described, 2 items with events and without metadata, 3 without any" in shown
    )
    assert "4 rows set aside" in shown
    assert "6 texts held HTML" in shown
    assert "warning  not read: [bold]a.txt[/] (its name ends in none)" in shown
