"""Progress in the Prefect UI: what the connection does costs an update; any other error is not hidden."""

import httpx
import pytest

from flows.serve import live


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


def test_an_error_of_our_own_is_not_taken_for_one_of_the_connection(watcher, monkeypatch):
    def create(*args, **more):
        raise TypeError("no such argument")

    monkeypatch.setattr(live, "create_progress_artifact", create)
    with pytest.raises(TypeError, match="no such argument"):
        watcher.progress("sft", 1, 2, "epoch 1", {"loss": 1.0})
