"""`make serve`: password, deployments and forms, what a run shows, and a shutdown that leaves no process behind."""

import inspect
import json
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tasks.run import STAGES
from tasks.stages.base import base
from tasks.stages.baselines import baselines
from tasks.stages.embed import embed
from tasks.stages.evaluate import evaluate
from tasks.stages.ingest import ingest
from tasks.stages.prepare import prepare
from tasks.stages.rl import rl
from tasks.stages.sft import sft
from tasks.stages.sid import sid
from tests.e2e.conftest import ROOT, tiny_command
from tests.support.served import FINAL, Served, clean_environment, left_over, listening

ALL_STAGES = (ingest, prepare, embed, sid, base, sft, rl, baselines, evaluate)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # a server, a runner and whole runs: minutes


@pytest.fixture(scope="module")
def cached_run(served):
    run = served.start()
    assert served.finished(run) == "Completed", served.output()[-3000:]
    return run


def test_the_password_is_made_once_printed_once_and_kept_from_others(tmp_path):
    up = Served(tmp_path)  # of a store of its own: another test may have made the password of the shared one
    try:
        file = up.store / "prefect" / "password"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert up.output().count(up.password) == 1
        assert len(up.password) > 24
    finally:
        up.stop()


def test_without_the_password_the_api_answers_401(served):
    for password in (None, "genrec:guess"):
        assert served.call("POST", "/flow_runs/filter", {}, password=password)[0] == 401
    assert isinstance(served.call("POST", "/flow_runs/filter", {}), list)


def test_the_server_sends_no_telemetry_and_listens_on_loopback_only(served):
    settings = served.call("GET", "/admin/settings")
    assert settings["server"]["analytics_enabled"] is False
    assert settings["server"]["api"]["host"] == "127.0.0.1"


def test_a_second_serve_says_so_and_where(served):
    done = subprocess.run(
        [sys.executable, "-m", "flows", "serve", "--store", str(served.store), "--port", str(served.port + 2)],
        capture_output=True, text=True, cwd=ROOT, env=clean_environment(), timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"served already: {served.url} (process {served.process.pid})" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_taken_port_is_named(served, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "flows", "serve", "--store", str(tmp_path), "--port", str(served.port)],
        capture_output=True, text=True, cwd=ROOT, env=clean_environment(), timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"port {served.port} is taken" in done.stderr


def test_the_deployments_are_there_with_one_run_at_a_time_and_the_nightly_schedule_off(served):
    for name in ("retrain", "retrain-nightly", "compare-recipes", "evaluate-only", "embed-only"):
        found = served.deployment(name)
        assert found["global_concurrency_limit"]["limit"] == 1, name
        assert found["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        schedules = [(s["active"], s["schedule"]["cron"], s["schedule"]["timezone"]) for s in found["schedules"]]
        assert schedules == ([(False, "0 3 * * *", "Europe/Berlin")] if name == "retrain-nightly" else [])


def test_every_field_of_every_form_is_explained_and_choices_are_lists(served):
    for name in ("retrain", "compare-recipes", "evaluate-only", "embed-only"):
        fields = served.deployment(name)["parameter_openapi_schema"]["properties"]
        assert {n for n, f in fields.items() if len(f.get("description") or "") < 20} == set()
        assert fields["preset"]["enum"] == ["demo", "table", "amazon2023"]
    fields = served.deployment()["parameter_openapi_schema"]["properties"]
    assert fields["seed"]["minimum"] == 0
    assert fields["refresh"]["items"]["enum"] == list(STAGES)
    assert "default" in fields["recipe"]["enum"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("preset", "demmo"),
        ("recipe", "best"),
        ("seed", -1),
        ("sft_epochs", -1),
        ("until", "sdi"),
        ("settings", ["sft"]),
    ],
)
def test_a_wrong_value_is_refused_before_the_run_and_the_field_named(served, field, value):
    body = {"parameters": {field: value}}
    status, text = served.call("POST", f"/deployments/{served.deployment()['id']}/create_flow_run", body)
    assert status == 409
    assert field in text


def test_the_graph_of_a_run_has_an_arrow_where_an_artifact_is_read_and_no_other(served, cached_run):
    body = {"flow_runs": {"id": {"any_": [cached_run]}}}
    tasks = {t["id"]: t for t in served.call("POST", "/task_runs/filter", body)}
    arrows = {
        task["name"]: {tasks[read["id"]]["name"] for of in task["task_inputs"].values() for read in of if "id" in read}
        for task in tasks.values()
        if task["name"] in STAGES
    }
    assert arrows == {s.name: set(list(inspect.signature(s.function).parameters)[1:]) for s in ALL_STAGES}


def test_cached_stages_are_shown_as_cached_under_readable_names(served, cached_run):
    status = served.tasks(cached_run)
    # There where another test has put another model in service: the two are compared.
    assert status.pop("in_service", "Completed") in ("Completed", "Cached")
    assert status == {
        **dict.fromkeys(STAGES, "Cached"),
        "promote": "Completed",
        "report": "Completed",
    }
    assert served.call("GET", f"/flow_runs/{cached_run}")["name"] == "retrain demo default"


def test_results_report_plots_and_a_link_that_works_are_artifacts(served, cached_run):
    body = {"artifacts": {"flow_run_id": {"any_": [cached_run]}}}
    found = {a["key"]: a for a in served.call("POST", "/artifacts/filter", body)}
    rows = json.loads(found["demo-results"]["data"])
    assert {"popularity", "itemcf", "sft", "rl"} <= {row["Model"] for row in rows}
    assert "| cached |" in found["demo-report"]["data"]
    plots = [a["data"] for key, a in found.items() if key.startswith("demo-plot-")]
    link = found["demo-report-page"]["data"].partition("(")[2].rstrip(")")
    assert len(plots) >= 4
    for address, beginning in [(link, b"<!doctype html>"), *((p, b"<") for p in plots)]:
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.read(2000).lower().lstrip().startswith(beginning)


def test_nothing_but_reports_is_served_beside_them(served):
    base = f"http://127.0.0.1:{served.port + 1}"
    for path in ("/", "/../prefect/password", "/%2e%2e/prefect/password", "/latest/", "/latest/secret.txt"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(base + path, timeout=10)


def test_a_run_that_computes_shows_progress_and_the_lines_of_its_ray_workers_and_actors_in_the_right_task(served):
    run = served.start(refresh=["sft", "rl"], until="rl")
    assert served.finished(run) == "Completed"
    status = served.tasks(run)
    assert {status.pop("sft"), status.pop("rl")} == {"Completed"}
    assert {status[s] for s in STAGES[:5]} == {"Cached"}
    tasks = served.call("POST", "/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
    sft, rl = (next(t["id"] for t in tasks if t["name"] == name) for name in ("sft", "rl"))
    lines = [line["message"] for line in served.logs(run) if line["task_run_id"] == rl]
    assert any("rollout actor started in process" in line for line in lines), lines
    lines = [line["message"] for line in served.logs(run) if line["task_run_id"] == sft]
    assert any("train_sft started in process" in line for line in lines), lines
    assert any(line.startswith("sft 100%") and "loss" in line for line in lines), lines
    assert any("validation NDCG@10 0." in line for line in lines), lines
    shown = served.call("POST", "/artifacts/filter", {"artifacts": {"task_run_id": {"any_": [sft]}}})
    assert [(a["key"], a["data"]) for a in shown] == [("progress-sft", 100)]


def test_everything_that_serve_and_a_run_start_listens_on_loopback_ray_too(served):
    run, seen, commands = served.start(refresh=["sid"], until="sid"), set(), set()

    def over() -> bool:
        pids = served.below()
        seen.update(listening([served.process.pid, *pids]))
        commands.update(name for pid in pids if (name := _command_name(pid)))
        return served.call("GET", f"/flow_runs/{run}")["state"]["type"] in FINAL

    served.wait(over, "the run to end")
    assert served.state(run) == "Completed"
    assert {"gcs_server", "raylet"} <= commands
    assert seen == {"127.0.0.1"}


def _command_name(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def test_evaluate_only_measures_what_is_there_and_refuses_to_train(served):
    run = served.start("evaluate-only", beam_width=21)
    assert served.finished(run) == "Completed"
    assert served.tasks(run)["evaluate"] == "Completed"
    refused = served.start("evaluate-only", seed=77)
    assert served.finished(refused) == "Failed"
    assert "run retrain with the same settings first" in served.call("GET", f"/flow_runs/{refused}")["state"]["message"]


def test_embed_only_stops_at_the_vectors(served, cached_run):
    run = served.start("embed-only")
    assert served.finished(run) == "Completed"
    assert served.tasks(run) == {**dict.fromkeys(STAGES[: STAGES.index("embed") + 1], "Cached"), "report": "Completed"}


def test_compare_recipes_lays_recipes_side_by_side_and_computes_what_differs(served, cached_run):
    run = served.start("compare-recipes", recipes=["default", "supervised-only"])
    assert served.finished(run) == "Completed", served.output()[-3000:]
    body = {"artifacts": {"flow_run_id": {"any_": [run]}}}
    found = {a["key"]: a["data"] for a in served.call("POST", "/artifacts/filter", body)}
    compared = " ".join(str(value) for row in json.loads(found["comparison-results"]) for value in row.values())
    assert "default" in compared
    assert "supervised-only" in compared
    assert found["comparison-summary"].startswith("# Comparison")
    with urllib.request.urlopen(found["comparison-page"].partition("(")[2].rstrip(")"), timeout=10) as answer:
        assert b"supervised-only" in answer.read()
    assert served.tasks(run)["sft"] == "Cached"


def test_the_command_line_joins_the_server_that_is_up(served):
    before = len(served.call("POST", "/flow_runs/filter", {}))
    done = subprocess.run(
        tiny_command(served.store),
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(served.call("POST", "/flow_runs/filter", {})) == before + 1


def test_no_secret_is_in_the_database_the_logs_or_the_reports(served, cached_run):
    secret = served.password.partition(":")[2].encode()
    files = [p for p in served.store.rglob("*") if p.is_file() and p.name not in ("password", "serve-test.log")]
    assert any(p.suffix == ".db" for p in files)
    assert [str(p) for p in files if secret in p.read_bytes()] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_the_end_no_process_is_left_and_the_next_serve_has_the_state(tmp_path, number):
    up = Served(tmp_path)
    run = up.start(seed=9, settings=["sft.epochs=200", "sft.patience=200"])
    up.wait(lambda: any((tmp_path / "objects").glob("ingest-*")), "a stage to finish")
    assert len(up.below()) > 3
    pids = up.stop(number)
    assert up.process.returncode == 0, up.output()[-2000:]
    assert left_over(pids, tmp_path) == []
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == [], "dead, but never collected"
    assert "Traceback" not in up.output().partition("stopping")[2]
    again = Served(tmp_path)
    try:
        assert again.password not in again.output()
        assert again.was_stopped(run)
    finally:
        assert left_over(again.stop(), tmp_path) == []
