"""Which model makes the lists, and of which events."""

import json
import os
import subprocess
import sys

import pytest

from flows import recommend as module
from flows.asked import what_is_asked
from flows.recommend import by_model_in_service, make_lists
from genrec.config.load import load_config
from genrec.errors import ConfigError, GenrecError
from genrec.in_service.registry import Registry
from genrec.store.local import Artifact, Store
from tasks.run import STAGES, Run


@pytest.fixture
def store(tmp_path):
    """A store with the finished runs `monday`, whose model is in service, and `tuesday`."""
    store = Store(tmp_path / "store")
    config = load_config([], ["name=shop", f"store={tmp_path}/elsewhere", "service.recommend=true"])
    for run in ("monday", "tuesday"):
        stages = []
        for stage in STAGES:
            with store.scratch() as folder:
                (folder / "recommendations-00000.parquet").write_text(run)
                more = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 0.0}
                made = store.commit(f"{stage}-{run}", stage, folder, **more)
            stages.append({"name": stage, "key": made.key, "digest": made.digest})
        report = {"run_id": run, "name": "shop", "stages": stages, "config": config.model_dump(mode="json")}
        (store.run_path(run) / "report.json").write_text(json.dumps(report))
        store.finish_run(run)
    Registry(store, "shop").promote("monday", {stage: f"{stage}-monday" for stage in STAGES}, "")
    return store


@pytest.mark.parametrize(
    ("asked", "model", "events"),
    [
        (("", "", ""), "monday", "monday"),
        (("", "shop", "latest"), "monday", "tuesday"),
        (("tuesday", "", ""), "tuesday", "tuesday"),
        (("latest", "", "monday"), "tuesday", "monday"),
    ],
)
def test_the_model_is_the_one_in_service_or_of_the_run_and_the_events_are_its_own_or_of_the_run_named(
    store, asked, model, events
):
    config, artifacts, of_model, of_events = what_is_asked(*asked, str(store.root), {"recommend.k": 7}, [])
    assert (of_model, of_events) == (model, events)
    assert artifacts["ingest"].key == f"ingest-{events}"
    assert {artifacts[stage].key for stage in module.MODEL} == {f"{stage}-{model}" for stage in module.MODEL}
    assert (config.recommend.k, config.service.recommend, config.name) == (7, False, "shop")


@pytest.mark.parametrize(
    ("asked", "settings", "error", "says"),
    [
        (("nosuch", "", ""), [], GenrecError, "finished runs, newest first"),
        (("", "", "nosuch"), [], GenrecError, "finished runs, newest first"),
        (("", "other", ""), [], GenrecError, "no model is in service under 'other'"),
        (("", "", ""), ["sft.epochs=3"], ConfigError, "only settings of recommend, resources and service.rank can"),
        (("", "", ""), ["recommend.k=0"], ConfigError, "recommend.k"),
        (("", "", ""), ["recommend.users=none.csv"], GenrecError, "recommend.users: .none.csv.: no such file; give"),
        (("", "", ""), ["recommend.in_stock=none.csv"], GenrecError, "recommend.in_stock: .none.csv.: no such file"),
    ],
)
def test_what_is_not_there_or_belongs_to_the_model_is_named(store, asked, settings, error, says):
    with pytest.raises(error, match=says):
        what_is_asked(*asked, str(store.root), {}, settings)


_LOOK = """
import contextlib, os, sys
from types import SimpleNamespace
import flows.serve.server
from flows.__main__ import app

@contextlib.contextmanager
def api(home):
    print("prefect" in sys.modules)
    os.environ["PREFECT_API_URL"] = "http://127.0.0.1:1/api"
    yield SimpleNamespace(wait_until_healthy=look)

def look():  # called where the flow was about to run
    from prefect.settings import get_current_settings
    print(get_current_settings().api.url)
    sys.exit()

flows.serve.server.api = api
app(sys.argv[1:])
"""


def test_the_command_imports_prefect_when_the_server_is_named_and_so_starts_no_other_one(store):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-c", _LOOK, "recommend", "--run", "monday", "--store", str(store.root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    printed = done.stdout.splitlines()
    assert [line for line in printed if "genrec run" not in line] == ["False", "http://127.0.0.1:1/api"], done.stderr


class _Stage:
    """Stands for the stage: gives an artifact with the inputs' keys as its summary."""

    name = "recommend"

    def __init__(self, store: Store) -> None:
        self.store = store

    def __call__(self, run: Run, **inputs: Artifact) -> Artifact:
        run.done({"name": "recommend", "status": "computed"}, inputs["rl"])
        summary = {"users": 2, "read": {name: artifact.key for name, artifact in inputs.items()}}
        path = self.store.object_path(inputs["rl"].key)
        return Artifact("recommend-key", "recommend", path, "a digest", summary, 1.0)


@pytest.fixture
def published(store, monkeypatch):
    """What was shown in Prefect, with a stand-in for the stage."""
    shown = []
    monkeypatch.setattr(module, "recommend", _Stage(store))
    monkeypatch.setattr(module, "publish_recommendations", lambda name, made: shown.append((name, made)))
    return shown


def _night(store: Store, **more) -> Run:
    artifacts = {stage: store.lookup(f"{stage}-tuesday") for stage in STAGES}
    return Run(load_config([], ["name=shop"]), store, "tuesday", artifacts=artifacts, **more)


def test_a_night_whose_model_was_not_promoted_has_its_events_answered_by_the_model_that_stays(store, published):
    made = by_model_in_service(_night(store))
    assert (made["model"], made["events_of"], made["model_key"]) == ("monday", "tuesday", "rl-monday")
    assert made["read"] == {"ingest": "ingest-tuesday", **{stage: f"{stage}-monday" for stage in module.MODEL}}
    assert published == [("shop", made)]
    assert json.loads((store.root / "recommendations" / "shop" / "latest.json").read_text()) == made


def test_without_a_model_in_service_no_list_is_made(store, published):
    run = _night(store)
    run.config = load_config([], ["name=new"])
    assert by_model_in_service(run) is None
    assert published == []


def test_the_lists_are_copied_to_the_folder_that_was_asked_for(store, published, tmp_path):
    run = _night(store)
    run.config = load_config([], ["name=shop", f"recommend.out={tmp_path}/out"])
    model = {stage: store.lookup(f"{stage}-monday") for stage in module.MODEL}
    made = make_lists(run, store.lookup("ingest-tuesday"), model, "monday", "tuesday")
    assert made["path"] == f"{tmp_path}/out"
    assert (tmp_path / "out" / "recommendations-00000.parquet").read_text() == "monday"
