"""A server that is stopped and started again: what its users set is kept; its services work; alerts get through."""

import asyncio
import re
import subprocess
import sys
import uuid
from datetime import UTC, datetime

import pytest

from flows.serve.definitions import digest
from tests.e2e.conftest import ROOT
from tests.support.receiver import receiver
from tests.support.served import Served, clean_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# The services of the server that run without end, and what shows here or elsewhere that each works.
SHOWN_BY = {
    "TaskRunRecorder": "test_schedule.py: the states of a run's tasks",
    "EventPersister": "test_the_services_of_the_server_work: events are found again",
    "ReactiveTriggers": "test_alerts_arrive",
    "Actions": "test_alerts_arrive",
    "Distributor": "test_the_services_of_the_server_work: a stream of events",
}
NIGHTLY = "retrain-nightly"


@pytest.fixture(scope="module")
def messages():
    with receiver() as there:
        yield there


@pytest.fixture(scope="module")
def served(tmp_path_factory, messages):
    """`serve` of an empty store with alerts, whose server logs what its services do."""
    verbose = {"PREFECT_SERVER_LOGGING_LEVEL": "INFO", "PREFECT_LOGGING_ROOT_LEVEL": "INFO"}
    up = Served(tmp_path_factory.mktemp("restart"), GENREC_ALERTS_URL=messages.url, **verbose)
    yield up
    up.stop()


def _log(served: Served) -> str:
    return (served.store / "prefect" / "server.log").read_text()


def _ended(served: Served, state: str, deployment: str, message: str) -> None:
    """A run of the deployment that ended in this way."""
    chosen = {"parameters": {"data": "demo", **({"promote": "no"} if deployment == NIGHTLY else {})}}
    made = served.call("POST", f"/deployments/{served.deployment(deployment)['id']}/create_flow_run", chosen)
    body = {"state": {"type": state, "name": state.capitalize(), "message": message}, "force": True}
    assert served.call("POST", f"/flow_runs/{made['id']}/set_state", body)["status"] == "ACCEPT"


def test_alerts_arrive_of_failed_nightlies_of_unusable_data_and_of_refused_promotions_and_of_nothing_else(
    served, messages
):
    before = "Flow run encountered an exception: "
    _ended(served, "COMPLETED", NIGHTLY, "")
    _ended(served, "FAILED", "embed-only", f"{before}ConfigError: told to whoever started it")
    _ended(served, "FAILED", NIGHTLY, f"{before}DataError: no events tonight")
    _ended(served, "FAILED", "compare-recipes", f"{before}DataError: events.csv: no column user_id")
    refused = {
        "event": "genrec.promotion.refused",
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "resource": {"prefect.resource.id": "genrec.run.tuesday", "prefect.resource.name": "tuesday"},
        "payload": {"why": "worse beyond chance", "in_service": "monday"},
    }
    served.call("POST", "/events", [refused])
    served.wait(lambda: len(messages.got) >= 3, "three alerts", 120)
    told = sorted((got["subject"], got["body"]) for got in messages.got)
    assert [subject for subject, _ in told] == [
        "genrec: a nightly failed",
        "genrec: a promotion was refused",
        "genrec: data cannot be used",
    ]
    assert "DataError: no events tonight" in told[0][1]
    assert f"{served.url}/runs/flow-run/" in told[0][1]
    assert told[1][1] == "tuesday: worse beyond chance. monday stays in service."
    assert "no column user_id" in told[2][1]


def test_the_address_of_the_alerts_is_nowhere(served):
    files = [p for p in served.store.rglob("*") if p.is_file()]
    assert any(p.suffix == ".db" for p in files)
    assert [str(p) for p in files if b"hook/canary" in p.read_bytes()] == []
    documents = served.call("POST", "/block_documents/filter", {"include_secrets": True})
    assert "hook/canary" in str(documents), "nobody could send to it"
    assert "hook/canary" not in str(served.call("POST", "/block_documents/filter", {}))


def test_the_services_of_the_server_work(served):
    from prefect.server.api import background_workers  # noqa: F401  (registers the periodic ones)
    from prefect.server.services.base import Service
    from prefect.server.services.perpetual_services import get_enabled_perpetual_services

    assert {service.__name__ for service in Service.enabled_services()} == SHOWN_BY.keys()
    known = {config.function.__name__ for config in get_enabled_perpetual_services()} - {"send_telemetry_heartbeat"}
    enabled = set(re.findall(r"Scheduling perpetual service: (\w+)", _log(served)))
    assert {"schedule_deployments", "monitor_late_runs", "evaluate_proactive_triggers_periodic"} <= enabled
    assert enabled == known
    served.wait(lambda: set(re.findall(r"↫ \[[^]]*\] (\w+)\(", _log(served))) >= enabled, "a turn of each service", 120)

    filtered = {"filter": {"event": {"name": ["genrec.promotion.refused"]}}}
    served.wait(lambda: served.call("POST", "/events/filter", filtered)["total"] == 1, "the event to be kept", 60)
    assert asyncio.run(_streamed(served)).resource.name == "wednesday"


async def _streamed(served: Served):
    """An event that is emitted while somebody listens, as it comes out of the stream."""
    from prefect.events.clients import PrefectEventSubscriber
    from prefect.events.filters import EventFilter, EventNameFilter
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    with temporary_settings({PREFECT_API_AUTH_STRING: served.password}):
        wanted = EventFilter(event=EventNameFilter(name=["genrec.streamed"]))
        async with PrefectEventSubscriber(f"{served.url}/api", wanted) as events:
            sent = {
                "event": "genrec.streamed",
                "id": str(uuid.uuid4()),
                "occurred": datetime.now(UTC).isoformat(),
                "resource": {"prefect.resource.id": "genrec.run.x", "prefect.resource.name": "wednesday"},
            }
            await asyncio.to_thread(served.call, "POST", "/events", [sent])
            return await asyncio.wait_for(anext(events), 60)


def test_no_service_logs_an_error(served):
    lines = _log(served).splitlines()
    assert [line for line in lines if re.search(r"\b(ERROR|CRITICAL)\b|^Traceback", line)] == []


def test_a_restart_keeps_what_users_set_and_brings_what_the_definition_changed(served):
    nightly, compare = served.deployment(NIGHTLY), served.deployment("compare-recipes")
    (schedule,) = nightly["schedules"]
    mine = {
        "description": "the shop in Hamburg",
        "tags": ["genrec", "hamburg"],
        "parameters": {"data": "demo", "promote": "no", "seed": 7},
        "concurrency_limit": 2,
        "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
    }
    served.call("PATCH", f"/deployments/{nightly['id']}", mine)
    later = {"cron": "30 4 * * *", "timezone": "Europe/Lisbon", "day_or": True}
    switched_on = {"active": True, "schedule": later, "parameters": {"seed": 8, "no_such_field": 1}}
    served.call("PATCH", f"/deployments/{nightly['id']}/schedules/{schedule['id']}", switched_on)
    added = {"active": False, "schedule": {"cron": "0 12 * * 0", "timezone": "UTC"}}
    served.call("POST", f"/deployments/{nightly['id']}/schedules", [added])
    # An older version of the project deployed other words for compare-recipes, and the nightly at another time.
    _deployed_before(served, "compare-recipes", description=digest("older words"), tags={"genrec": True, "older": True})
    served.call("PATCH", f"/deployments/{compare['id']}", {"description": "older words", "tags": ["genrec", "older"]})

    served.stop()
    again = Served(served.store)
    try:
        kept = again.deployment(NIGHTLY)
        assert {name: kept[name] for name in ("description", "tags", "parameters")} == {
            name: mine[name] for name in ("description", "tags", "parameters")
        }
        assert kept["global_concurrency_limit"]["limit"] == 2
        assert kept["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
        schedules = {s["schedule"]["cron"]: (s["active"], s["parameters"]) for s in kept["schedules"]}
        assert schedules == {"30 4 * * *": (True, {"seed": 8, "no_such_field": 1}), "0 12 * * 0": (False, {})}
        assert f"{NIGHTLY}: a schedule has parameter no_such_field, and its runs will be refused" in again.output()
        changed = again.deployment("compare-recipes")
        assert (changed["description"], changed["tags"]) == (compare["description"], ["genrec"])

        def planned() -> list[dict]:
            body = {
                "deployments": {"id": {"any_": [kept["id"]]}},
                "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
            }
            return again.call("POST", "/flow_runs/filter", body)

        again.wait(planned, "the next nights to be planned", 120)
        assert all(run["parameters"]["seed"] == 8 for run in planned())
        _deploys_on_a_pool_twice(again)
    finally:
        again.stop()


def _deployed_before(served: Served, deployment: str, **changed: object) -> None:
    """Write into the record of the last deploy that its definition was another."""
    name = f"genrec_definition_{deployment.replace('-', '_')}"
    variable = served.call("GET", f"/variables/name/{name}")
    served.call("PATCH", f"/variables/name/{name}", {"value": variable["value"] | changed})


def _deploys_on_a_pool_twice(served: Served) -> None:
    """`python -m flows deploy` moves the deployments to a work pool, and keeps what is set there afterwards."""
    command = [sys.executable, "-m", "flows", "deploy", "--pool", "shared"]
    address = {"PREFECT_API_URL": f"{served.url}/api", "PREFECT_API_AUTH_STRING": served.password}
    environment = clean_environment(**address)
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    moved = served.deployment(NIGHTLY)
    assert (moved["work_pool_name"], moved["tags"]) == ("shared", ["genrec", "hamburg"])
    variables = {**moved["job_variables"], "working_dir": "/data"}
    mine = {"work_pool_name": "shared", "work_queue_name": "slow", "job_variables": variables}
    served.call("PATCH", f"/deployments/{moved['id']}", mine)
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    kept = served.deployment(NIGHTLY)
    assert (kept["work_pool_name"], kept["work_queue_name"], kept["job_variables"]) == ("shared", "slow", variables)
    assert any(s["active"] for s in kept["schedules"])
