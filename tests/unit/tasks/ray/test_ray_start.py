"""Ray on a machine that is too busy to bring it up in time."""

import json
import os
from types import SimpleNamespace

import pytest
import ray

from genrec.config import ResourcesConfig
from genrec.errors import GenrecError
from tasks.ray import cluster

TOO_LATE = Exception("The current node timed out during startup. This could happen because ...")


@pytest.fixture
def starts(monkeypatch, tmp_path):
    """Outcomes of the next attempts to start Ray, first one last; what was called is noted."""
    outcomes, calls = [], []

    def init(**options):
        calls.append("init")
        outcome = outcomes.pop()
        if outcome is not None:
            raise outcome
        return SimpleNamespace(address_info={"session_dir": str(tmp_path)})

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    monkeypatch.setattr(cluster, "_started_here", False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return outcomes, calls


def test_a_slow_start_is_tried_again(starts):
    outcomes, calls = starts
    outcomes += [None, TOO_LATE]
    cluster.connect(ResourcesConfig())
    assert calls == ["init", "shutdown", "init"]
    assert cluster._started_here


def test_the_folder_of_the_session_says_which_process_started_it(starts, tmp_path):
    starts[0].append(None)
    cluster.connect(ResourcesConfig())
    assert json.loads((tmp_path / "genrec.json").read_text())["pid"] == os.getpid()


def test_a_start_that_never_comes_is_a_plain_error(starts):
    outcomes, calls = starts
    outcomes += [TOO_LATE] * 9
    with pytest.raises(GenrecError, match="did not start in 3 attempts"):
        cluster.connect(ResourcesConfig())
    assert calls == ["init", "shutdown"] * 3
    assert not cluster._started_here


def test_another_failure_is_not_tried_again(starts):
    outcomes, calls = starts
    outcomes += [ValueError("no such option")]
    with pytest.raises(ValueError, match="no such option"):
        cluster.connect(ResourcesConfig())
    assert calls == ["init"]
