"""The report of a run of a store at a URL, on a machine that did not make it."""

import json

import pytest
from typer.testing import CliRunner

import flows.__main__ as main
from genrec.errors import GenrecError
from genrec.serve.model_files import in_store
from genrec.store.remote import open_store

URL, RUN = "memory://finished", "20260102-000000-second"


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Two runs that another machine finished, the second one last; nothing is staged here."""
    monkeypatch.setenv("GENREC_STAGING", str(tmp_path / "there"))
    store = open_store(URL)
    for run in ("20260101-000000-first", RUN):
        report = {"run_id": run, "stages": [], "warnings": [f"made by {run}"]}
        (store.run_path(run) / "report.json").write_text(json.dumps(report))
        store.finish_run(run)
    monkeypatch.setenv("GENREC_STAGING", str(tmp_path / "here"))
    yield
    store.fs.rm(store.base, recursive=True)


@pytest.mark.parametrize("run", ["latest", RUN])
def test_the_report_of_another_machine_is_printed_with_the_address_of_its_page(elsewhere, run):
    done = CliRunner().invoke(main.app, ["report", run, "--store", URL])
    assert done.exit_code == 0, done.output
    assert f"made by {RUN}" in done.output
    assert f"report  {URL}/runs/{RUN}/report.html" in done.output


def test_a_run_that_is_not_at_the_url_is_answered_with_those_that_are(elsewhere):
    done = CliRunner().invoke(main.app, ["report", "nosuch", "--store", URL])
    assert f"finished runs, newest first: {RUN}, 20260101-000000-first" in done.output


def test_the_latest_run_of_all_machines_is_the_one_whose_model_is_meant(elsewhere):
    for which in ("latest", None):
        with pytest.raises(GenrecError, match=f"run {RUN}: stopped before the stage prepare"):
            in_store(open_store(URL), which)


def test_a_plan_finds_the_run_whose_sizes_are_meant(elsewhere, monkeypatch):
    asked = []
    monkeypatch.setattr("flows.plan.finished_report", lambda root, run, store: asked.append(store.run_named(run)) or {})
    CliRunner().invoke(main.app, ["plan", "-c", "conf/demo.yaml", "--run", "latest", "--store", URL])
    assert asked == [RUN]
