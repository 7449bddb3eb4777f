"""The nightly schedule: switched on, its runs appear; when its time comes, one starts, works and ends by itself."""

import re
from datetime import UTC, datetime

import pytest

from tests.support.served import Served, tiny_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def _runs(served: Served, deployment: str) -> list[dict]:
    body = {"deployments": {"id": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC"}
    return served.call("POST", "/flow_runs/filter", body)


def test_a_schedule_that_is_switched_on_starts_runs_by_itself_and_the_server_logs_no_error(served):
    log = served.store / "prefect" / "server.log"
    before = len(log.read_text())  # of tests that used this store earlier
    nightly = served.deployment("retrain-nightly")
    (schedule,) = nightly["schedules"]
    assert (schedule["active"], _runs(served, nightly["id"])) == (False, [])

    chosen = {"data": "demo", "promote": "no", "settings": tiny_settings(), "take_over": []}
    switched_on = {"active": True, "parameters": chosen}
    served.call("PATCH", f"/deployments/{nightly['id']}/schedules/{schedule['id']}", switched_on)
    served.wait(lambda: _runs(served, nightly["id"]), "the next nights to be scheduled", 300)
    for run in _runs(served, nightly["id"]):
        assert run["state"]["type"] == "SCHEDULED"
        assert re.search(r"T0[12]:00:00", run["expected_start_time"])  # 03:00 in Berlin, in universal time

    # The same schedule with its time brought forward: every two minutes, as the scheduler looks once a minute.
    often = {"interval": 120, "anchor_date": datetime.now(UTC).isoformat(), "timezone": "UTC"}
    served.call("PATCH", f"/deployments/{nightly['id']}/schedules/{schedule['id']}", switched_on | {"schedule": often})

    def started() -> list[dict]:
        return [run for run in _runs(served, nightly["id"]) if run["state"]["type"] != "SCHEDULED"]

    served.wait(started, "a run to start by itself", 400)
    run = started()[0]
    as_it_was = {
        name: schedule[name] for name in ("active", "schedule", "parameters")
    }  # a restart would keep the change
    served.call("PATCH", f"/deployments/{nightly['id']}/schedules/{schedule['id']}", as_it_was)
    assert served.finished(run["id"]) == "Completed"
    assert run["auto_scheduled"]
    # The server may hear of a stage after it has heard of the run's end.
    served.wait(lambda: {"sft", "rl", "evaluate"} <= served.tasks(run["id"]).keys(), "the stages to be recorded", 60)

    lines = log.read_text()[before:].splitlines()
    assert [line for line in lines if re.search(r"\b(ERROR|CRITICAL)\b|^Traceback", line)] == []
