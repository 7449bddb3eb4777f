"""The decision of a promotion in the name of the flow run."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from flows import decision
from flows.decision import name_by_change, say_in_name
from genrec.in_service.registry import Record


@pytest.fixture
def run(monkeypatch):
    """A flow run that is at work, called `shop, quick`, and a server that takes its name."""
    at_work = SimpleNamespace(id="7", name="shop, quick", named=[])
    client = SimpleNamespace(set_flow_run_name=lambda run, name: at_work.named.append((run, name)))
    monkeypatch.setattr(decision, "get_client", lambda sync_client: nullcontext(client))
    monkeypatch.setattr(decision.FlowRunContext, "get", lambda: SimpleNamespace(flow_run=at_work))
    return at_work


@pytest.mark.parametrize("decided", ["promoted", "kept", "refused"])
def test_the_decision_follows_the_name_once_however_often_the_run_is_tried(run, decided):
    for _ in range(2):
        say_in_name({"promotion": {"decision": decided}})
        assert run.name == f"shop, quick: {decided}"
    assert run.named == [("7", f"shop, quick: {decided}")] * 2
    say_in_name({"promotion": {"decision": "kept"}})
    assert run.name == "shop, quick: kept"


def test_a_run_that_was_not_to_promote_keeps_its_name(run):
    say_in_name({})
    assert (run.name, run.named) == ("shop, quick", [])


def test_a_change_by_hand_is_the_name_of_its_run(run):
    name_by_change(Record(3, "roll_back", "monday", {}, "", {}, 0))
    assert run.name == "roll back monday"
