"""Progress in the Prefect UI: names and figures while a stage works, nothing left of it afterwards, no run lost by it."""

import logging
import threading
from types import SimpleNamespace
from uuid import UUID

import httpx
import pytest
from prefect.client.schemas.actions import ArtifactCreate

from flows import live
from flows.pace import EVERY_S, Pace
from tasks.run import STAGES


class _Server:
    """What the Prefect server is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple] = []
        self.error: Exception | None = None

    def create(self, share, key, description):
        if self.error:
            raise self.error
        self.told.append(("artifact", key, share, description))
        return UUID(int=len(self.told))

    def update(self, artifact, share, description):
        self.told.append(("update", artifact, share, description))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def set_task_run_name(self, task_run, name):
        self.told.append(("name", task_run, name))

    def delete_artifact(self, artifact):
        self.told.append(("delete", artifact))


@pytest.fixture
def now(monkeypatch):
    """A clock that stands, until its `now` is set."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(live, "Pace", lambda: Pace(lambda: clock.now))
    return clock


@pytest.fixture
def server(monkeypatch):
    made = _Server()
    monkeypatch.setattr(live, "create_progress_artifact", made.create)
    monkeypatch.setattr(live, "update_progress_artifact", made.update)
    monkeypatch.setattr(live, "get_client", lambda sync_client: made)
    context = SimpleNamespace(get=lambda: SimpleNamespace(task_run=SimpleNamespace(id="task")))
    monkeypatch.setattr(live, "TaskRunContext", context)
    return made


@pytest.fixture
def said(monkeypatch):
    lines: list[tuple[int, str]] = []
    monkeypatch.setattr(live, "_log", lambda level, text: lines.append((level, text)))
    return lines


@pytest.fixture
def watcher(now, server, said):
    made = live.PrefectWatcher()
    made.stage_started("sft", "first run")
    return made


def _at(now, watcher, seconds: float, share: float, **values: float) -> None:
    now.now = seconds
    watcher.progress("sft", share * 50, 50, "epoch 1", values)


def test_a_stage_says_its_share_and_the_time_left_in_its_log_its_name_and_an_artifact(watcher, now, server, said):
    _at(now, watcher, 0, 0.0)
    _at(now, watcher, 60, 0.5, loss=1.25)
    assert [text for _, text in said] == ["sft 50%, 60 s left  epoch 1  loss 1.25"]
    kind, key, share, description = server.told[0]
    assert (kind, key, share) == ("artifact", "progress-sft", 50)
    assert "| done | 25 of 50 (epoch 1) |" in description
    assert "| left, about | 60 s |" in description
    assert server.told[1:] == [("name", "task", "sft 50%, 60 s left")]


def test_lines_and_updates_are_ten_seconds_apart(watcher, now, server, said):
    for step in range(400):
        _at(now, watcher, step * 0.25, step / 400)
    assert 8 <= len(said) <= 100 / EVERY_S
    assert 8 <= sum(told[0] == "name" for told in server.told) <= 100 / EVERY_S


def test_after_a_stage_its_name_is_plain_its_artifact_gone_and_its_last_figures_are_in_the_log(
    watcher, now, server, said
):
    _at(now, watcher, 30, 0.5, loss=1.25)
    _at(now, watcher, 39, 0.9, ndcg=0.2)
    server.told.clear()
    watcher.stage_finished({"name": "sft", "status": "computed", "seconds": 40.0})
    assert server.told == [("name", "task", "sft"), ("delete", UUID(int=1))]
    assert said[-1] == (logging.INFO, "sft done in 40.0 s  loss 1.25, validation NDCG@10 0.2")


@pytest.mark.parametrize("end", ["stage_failed", "stage_stopped"])
def test_of_a_stage_that_does_not_finish_nothing_is_left_either(watcher, now, server, end):
    _at(now, watcher, 30, 0.5)
    server.told.clear()
    getattr(watcher, end)("sft")
    assert [told[0] for told in server.told] == ["name", "delete"]


def test_a_short_or_cached_stage_shows_nothing(watcher, now, server, said):
    _at(now, watcher, 5, 1.0)
    watcher.stage_finished({"name": "sft", "status": "cached", "seconds": 0.1})
    assert server.told == said == []


def test_stages_side_by_side_are_shown_apart(watcher, now, server, said):
    def other():
        watcher.stage_started("baselines", "first run")
        now.now = 30
        watcher.progress("baselines", 1, 2, "", {})
        watcher.stage_finished({"name": "baselines", "status": "computed", "seconds": 30.0})

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    _at(now, watcher, 31, 0.25)
    assert [told[1] for told in server.told if told[0] == "artifact"] == ["progress-baselines", "progress-sft"]
    assert server.told[-1] == ("name", "task", "sft 25%")


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), ConnectionResetError(), TimeoutError()])
def test_a_server_that_does_not_answer_costs_an_update_only(watcher, now, server, said, error):
    server.error = error
    _at(now, watcher, 30, 0.5)
    assert [level for level, _ in said] == [logging.INFO, logging.DEBUG]


def test_a_defect_of_the_display_is_said_and_costs_no_run(watcher, now, server, said):
    server.error = TypeError("no such argument")
    _at(now, watcher, 30, 0.5)
    assert (logging.ERROR, "sft: progress cannot be shown (TypeError: no such argument)") in said


@pytest.mark.parametrize("stage", [*STAGES, "in_service"])
def test_the_progress_of_every_stage_has_a_key_that_prefect_takes(watcher, now, server, stage):
    watcher.stage_started(stage, "first run")
    now.now = 30
    watcher.progress(stage, 1, 2, "", {})
    key = server.told[0][1]
    assert ArtifactCreate(key=key).key == f"progress-{stage}".replace("_", "-")
