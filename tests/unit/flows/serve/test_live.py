"""Progress in the Prefect UI: what goes wrong there costs an update, not the run, and is said."""

import logging

import httpx
import pytest
from prefect.client.schemas.actions import ArtifactCreate

from flows.serve import live
from tasks.run import STAGES


@pytest.fixture
def watcher():
    made = live.PrefectWatcher()
    made.stage_started("sft", "first run")
    return made


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), ConnectionResetError(), TimeoutError()])
def test_a_server_that_does_not_answer_costs_an_update_only(watcher, monkeypatch, error):
    def create(*args, **more):
        raise error

    monkeypatch.setattr(live, "create_progress_artifact", create)
    watcher.progress("sft", 1, 2, "epoch 1", {"loss": 1.0})


def test_a_defect_of_the_display_is_said_and_costs_no_run(watcher, monkeypatch):
    said = []

    def create(*args, **more):
        raise TypeError("no such argument")

    monkeypatch.setattr(live, "create_progress_artifact", create)
    monkeypatch.setattr(live, "_log", lambda level, text: said.append((level, text)))
    watcher.progress("sft", 1, 2, "epoch 1", {"loss": 1.0})
    assert (logging.ERROR, "sft: progress cannot be shown (TypeError: no such argument)") in said


@pytest.mark.parametrize("stage", [*STAGES, "in_service"])
def test_the_progress_of_every_stage_has_a_key_that_prefect_takes(watcher, monkeypatch, stage):
    keys = []
    monkeypatch.setattr(live, "create_progress_artifact", lambda share, key, description: keys.append(key))
    watcher.stage_started(stage, "first run")
    watcher.progress(stage, 1, 2, "", {})
    assert [ArtifactCreate(key=key).key for key in keys] == [f"progress-{stage}".replace("_", "-")]
