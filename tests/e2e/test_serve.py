"""`make serve`: password, deployments and forms, what a run shows, and a shutdown that leaves no process behind."""

import inspect
import json
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from genrec.in_service.registry import Registry
from genrec.store.remote import open_store
from tasks.ray import sessions
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
from tests.support.stages import ALWAYS

ALL_STAGES = (ingest, prepare, embed, sid, base, sft, rl, baselines, evaluate)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # a server, a runner and whole runs: minutes

DEPLOYMENTS = (
    *(
        "retrain",
        "retrain-nightly",
        "compare-recipes",
        "recommend",
        "evaluate-only",
        "embed-only",
        "experiment",
        "promote",
        "roll-back",
    ),
)


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
        shown = subprocess.run(
            [sys.executable, "-m", "flows", "login", "--store", str(tmp_path)],
            capture_output=True, text=True, cwd=ROOT, env=clean_environment(), timeout=60, check=True,
        )  # fmt: skip
        assert up.url in shown.stdout
        assert shown.stdout.count(up.password) == 1
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
    for name in DEPLOYMENTS:
        found = served.deployment(name)
        assert found["global_concurrency_limit"]["limit"] == 1, name
        assert found["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        schedules = [(s["active"], s["schedule"]["cron"], s["schedule"]["timezone"]) for s in found["schedules"]]
        assert schedules == ([(False, "0 3 * * *", "Europe/Berlin")] if name == "retrain-nightly" else [])


def test_every_field_of_every_form_is_explained_and_choices_are_lists(served):
    for name in DEPLOYMENTS:
        fields = served.deployment(name)["parameter_openapi_schema"]["properties"]
        assert {n for n, f in fields.items() if len(f.get("description") or "") < 20} == set()
        sources = ["demo", "my tables", "Amazon 2023", "Amazon 2018", "MiniOneRec's split"]
        assert fields.get("data", {}).get("enum") in (None, sources)
    fields = served.deployment()["parameter_openapi_schema"]["properties"]
    assert fields["seed"]["minimum"] == 0
    assert fields["refresh"]["items"]["enum"] == list(STAGES)
    assert "default" in fields["recipe"]["enum"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data", "demmo"),
        ("data_path", "my-shop/"),  # with data: demo, its default
        ("preset", "demo"),  # of before
        ("sft_epohs", 3),
        ("recipe", "best"),
        ("seed", -1),
        ("sft_epochs", -1),
        ("until", "sdi"),
        ("settings", ["sft"]),
        ("settings", ["sft.epochs=many"]),
    ],
)
def test_a_wrong_value_is_refused_before_the_run_and_the_field_named(served, field, value):
    body = {"parameters": {"seed": 1, field: value}}
    status, text = served.call("POST", f"/deployments/{served.deployment()['id']}/create_flow_run", body)
    assert status == 409
    assert field in text
    assert "(?" not in text, "a regular expression"


def test_settings_that_the_server_cannot_check_fail_in_the_first_second_with_one_line_in_the_log(served):
    """Bounds of a free setting, and parameters that a client asks the server not to check, as those of a schedule."""
    checked = served.start(settings=["sft.epochs=-1"])
    body = {"parameters": {"preset": "demo"}, "enforce_parameter_schema": False}
    unchecked = served.call("POST", f"/deployments/{served.deployment()['id']}/create_flow_run", body)["id"]
    for run, says in ((checked, "sft.epochs: "), (unchecked, "preset is gone: write data")):
        assert served.finished(run) == "Failed"
        assert says in served.call("GET", f"/flow_runs/{run}")["state"]["message"]
        served.wait(lambda run=run: "Finished in state" in str(served.logs(run)), "the run's log")
        lines = [line["message"] for line in served.logs(run)]
        assert [says in line for line in lines if "error" in line.lower() and "Finished in" not in line] == [True]
        assert all(len(line.splitlines()) == 1 for line in lines), lines
        assert served.tasks(run) == {}


def test_the_graph_of_a_run_has_an_arrow_where_an_artifact_is_read_and_no_other(served, cached_run):
    body = {"flow_runs": {"id": {"any_": [cached_run]}}}
    tasks = {t["id"]: t for t in served.call("POST", "/task_runs/filter", body)}
    arrows = {
        task["name"]: {tasks[read["id"]]["name"] for of in task["task_inputs"].values() for read in of if "id" in read}
        for task in tasks.values()
        if task["name"] in STAGES
    }
    read = {s.name: list(inspect.signature(s.function).parameters.values())[1:] for s in ALL_STAGES}
    assert arrows == {name: {p.name for p in inputs if p.default is p.empty} for name, inputs in read.items()}


def test_cached_stages_are_shown_as_cached_under_readable_names(served, cached_run):
    assert served.tasks(cached_run) == {**dict.fromkeys(ALWAYS, "Cached"), "report": "Completed"}
    run = served.call("GET", f"/flow_runs/{cached_run}")
    assert run["name"] == "demo-default-full-seed0"
    assert {"data:demo", "recipe:default"} <= set(run["tags"])
    assert _folders(served, run["name"])


def test_what_a_user_typed_stays_the_name_of_the_run_and_of_its_folder(served, cached_run):
    run = served.start(named="Spring sale, try 2")
    assert served.finished(run) == "Completed"
    assert served.call("GET", f"/flow_runs/{run}")["name"] == "Spring sale, try 2"
    assert _folders(served, "Spring-sale-try-2")


def _folders(served, name: str) -> list[Path]:
    return list((served.store / "runs").glob(f"*-*-{name}*/report.json"))


def _artifacts(served, run: str) -> dict[str, str]:
    found = served.call("POST", "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    return {artifact["key"]: artifact["data"] for artifact in found}


def _linked_page(served, report: str) -> bytes:
    """What the link of a report artifact leads to."""
    link = report.partition("](")[2].partition(")")[0]
    assert link.startswith("/"), "it must work through whatever port is forwarded"
    return served.page(link)[1]


def test_the_artifacts_of_a_run_are_one_report_with_its_plots_and_a_link_that_works_and_the_table(served, cached_run):
    found = _artifacts(served, cached_run)
    assert set(found) == {"demo-report", "demo-data", "demo-results"}
    assert {"popularity", "itemcf", "sft"} <= {row["Model"] for row in json.loads(found["demo-results"])}
    report = found["demo-report"]
    assert "| cached |" in report
    assert "- Score of sft: semantic ids " in report
    assert report.count("](data:image/svg+xml;base64,") >= 4
    assert _linked_page(served, report)[:2000].lower().lstrip().startswith(b"<!doctype html>")


def test_reports_are_behind_the_login_and_nothing_else_is_there(served, cached_run):
    assert served.page("/reports/latest/report.html")[0] == 200
    assert served.page("/reports/latest/report.html", password=None)[0] == 401
    assert served.page("/reports/latest/report.html", password="genrec:guess")[0] == 401
    for path in ("/", "/../prefect/password", "/%2e%2e/prefect/password", "/latest/", "/latest/secret.txt"):
        assert served.page(f"/reports{path}")[0] in (401, 404), path


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
    done = next(line for line in lines if line.startswith("sft done in "))
    assert "loss" in done
    assert "validation NDCG@10 0." in done
    assert served.call("POST", "/artifacts/filter", {"artifacts": {"task_run_id": {"any_": [sft]}}}) == []


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


def test_a_model_is_promoted_measured_again_and_taken_back_and_the_artifact_says_what_is_in_service(served):
    """By the form of retrain, by the deployment promote, by the command line, and by roll-back."""

    def shown() -> str:
        return served.call("GET", "/artifacts/in-service-demo/latest")["data"]

    retrained = served.start(promote="if not worse", seed=1, until="evaluate")
    assert served.finished(retrained) == "Completed", served.output()[-3000:]
    decided = served.call("GET", f"/flow_runs/{retrained}")["name"].rpartition(": ")[2]
    assert served.tasks(retrained)["promote"] == decided.capitalize()
    assert decided in ("promoted", "kept")
    before = Registry(open_store(str(served.store)), "demo").current()
    assert before.run_id in shown()

    promoted = _asked(served, "promote", run="first")
    assert served.finished(promoted) == "Completed"
    assert "demo: first is in service (change " in served.call("GET", f"/flow_runs/{promoted}")["state"]["message"]
    assert "`first` is in service" in shown()

    measured = _asked(served, "evaluate-only", beam_width=21)
    assert served.finished(measured) == "Completed", served.output()[-3000:]
    status = served.tasks(measured)
    assert {status.pop(stage) for stage in ("baselines", "evaluate")} == {"Completed"}
    assert status == {**dict.fromkeys(STAGES[: STAGES.index("baselines")], "Cached"), "report": "Completed"}

    asked = _asked(served, "recommend", k=3, settings=["recommend.shard_size=150"])
    assert served.finished(asked) == "Completed", served.output()[-3000:]
    assert served.tasks(asked) == {"recommend": "Completed"}
    lists = _artifacts(served, asked)["demo-recommendations"]
    assert "300 users, 300 lists by the model of first" in lists
    assert "(2 Parquet files)" in lists.replace("\\", "")

    back = _asked(served, "roll-back")
    assert served.finished(back) == "Completed"
    assert f"`{before.run_id}` is in service" in shown()
    done = subprocess.run(
        [sys.executable, "-m", "flows", "promote", "first", "--store", str(served.store)],
        capture_output=True, text=True, cwd=ROOT, env=clean_environment(), timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "`first` is in service" in shown()

    nosuch = _asked(served, "evaluate-only", run="nosuch")
    assert served.finished(nosuch) == "Failed"
    assert "finished runs, newest first: " in served.call("GET", f"/flow_runs/{nosuch}")["state"]["message"]


def _asked(served: Served, name: str, **parameters: object) -> str:
    body = {"parameters": parameters}
    return served.call("POST", f"/deployments/{served.deployment(name)['id']}/create_flow_run", body)["id"]


def test_embed_only_stops_at_the_vectors(served, cached_run):
    run = served.start("embed-only")
    assert served.finished(run) == "Completed"
    assert served.tasks(run) == {**dict.fromkeys(STAGES[: STAGES.index("embed") + 1], "Cached"), "report": "Completed"}


def test_compare_recipes_lays_recipes_side_by_side_and_computes_what_differs(served, cached_run):
    run = served.start("compare-recipes", recipes=["default", "supervised-only"])
    assert served.finished(run) == "Completed", served.output()[-3000:]
    found = _artifacts(served, run)
    assert set(found) == {"comparison-report", "comparison-results"}
    assert served.call("GET", f"/flow_runs/{run}")["name"] == "demo-default-vs-supervised-only-full-seed0"
    compared = " ".join(str(value) for row in json.loads(found["comparison-results"]) for value in row.values())
    assert "default" in compared
    assert "supervised-only" in compared
    assert found["comparison-report"].startswith("# Comparison")
    assert b"supervised-only" in _linked_page(served, found["comparison-report"])
    assert served.tasks(run)["sft"] == "Cached"


def test_the_command_line_joins_the_server_that_is_up(served):
    before = {run["id"] for run in served.call("POST", "/flow_runs/filter", {})}
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
    (run,) = [run for run in served.call("POST", "/flow_runs/filter", {}) if run["id"] not in before]
    assert run["name"] == "demo-tiny-full-seed0"
    assert {"data:demo", "recipe:tiny"} <= set(run["tags"])
    assert set(_artifacts(served, run["id"])) == {"demo-report", "demo-data", "demo-results"}


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
    up.wait(lambda: any(re.match(r"sft \d+%, \d+ (s|min) left", name) for name in up.tasks(run)), "progress in a name")
    assert [round(a["data"]) for a in up.progress(run)] != [], "the figures beside it"
    pids = up.stop(number)
    assert up.process.returncode == 0, up.output()[-2000:]
    assert left_over(pids, tmp_path) == []
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == [], "dead, but never collected"
    assert "Traceback" not in up.output().partition("stopping")[2]
    started = {json.loads((folder / "genrec.json").read_text())["pid"] for folder in sessions.ended(keep_days=0)}
    assert started & set(pids), "the folder of its Ray is one that prune removes"
    again = Served(tmp_path)
    try:
        assert again.password not in again.output()
        assert again.was_stopped(run)
    finally:
        assert left_over(again.stop(), tmp_path) == []
