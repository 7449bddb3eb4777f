"""The report of an experiment on the console and as a page of the Prefect UI."""

import pytest
from typer.testing import CliRunner

from flows import experiment as module
from flows.__main__ import app
from flows.experiment import in_markdown, publish
from genrec.serve.experiment import Experiment
from genrec.serve.experiment.report import report_on
from tests.support.experiments import GOOD, POOR, play


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    experiment = Experiment("new_loss", "run-7", 0.5, tight_at_users=1000)
    play(store, experiment, {"control": POOR, "candidate": GOOD}, {"g": 0.4, "p": 0.2}, 1500)
    return store


def test_the_command_prints_arms_differences_and_the_decision(store):
    result = CliRunner().invoke(app, ["experiment", "new_loss", "--store", str(store)], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert "Experiment new_loss (split), shown 2023-11-14" in result.output
    assert "The candidate (run-7) wins: more clicks" in result.output
    assert "users' lists with a click, candidate minus in service: +" in result.output
    assert (store / "experiments" / "new_loss" / "report.json").is_file()


def test_an_unknown_experiment_is_an_error_in_a_line(store):
    result = CliRunner().invoke(app, ["experiment", "other", "--store", str(store)])
    assert result.exit_code == 1
    assert "experiment other: not known; there are new_loss" in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_the_page_has_the_same_figures_and_a_key_that_prefect_takes(store, monkeypatch):
    made = []
    monkeypatch.setattr(module, "create_markdown_artifact", lambda text, **named: made.append((text, named)))
    report = publish("new_loss", str(store), "")
    ((text, named),) = made
    assert named == {"key": "experiment-new-loss", "description": report["words"]}
    assert text == in_markdown(report_on(store, "new_loss"))
    assert f"**{report['words']}**" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert {line.count("|") for line in table} == {7}
