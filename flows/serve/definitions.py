"""What the project says of a deployment and what its users set on it, put together without losing either.

Prefect's own deploy step writes the project's definition over whatever is on the server: a schedule that was switched
on is off again, parameters are gone. Here the definition that was deployed last is kept on the server, in a Prefect
variable for each deployment, and compared three ways: the definition then, the definition now, what the server has.
Where the server differs from the definition then, somebody set it, and it stays; all else follows the definition.
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.utilities.schema_tools.validation import validate
from prefect.variables import Variable

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

_FIELDS = ("description", "enforce_parameter_schema", "work_pool_name", "work_queue_name")
_WITHOUT_RECORD = ("description", "work_pool_name")  # of a server without a record, these are the project's
_ABSENT = object()


def apply(deployment: "RunnerDeployment", register: Callable[["RunnerDeployment"], object]) -> list[str]:
    """Create the deployment, or bring it up to date and keep what users set on it.

    `register` creates or updates it by its name, as `RunnerDeployment.apply` and `Runner.add_deployment` do. Returns
    notes for the console: a line for each parameter that a user set and that the form no longer takes.
    """
    now = _defined(deployment)
    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(deployment.full_name)
        except ObjectNotFound:
            register(deployment)
            notes = []
        else:
            here = _on_server(found)
            merged = merge(_record(deployment, here) or _assumed(now, here), now, here)
            notes = _drop_unfit(deployment, merged)
            _fill(deployment, merged, paused=found.paused)
            register(deployment)
            _apply_schedules(client, found.id, here["schedules"], merged["schedules"])
    kept = {**now, "description": digest(now["description"])}  # a variable holds 5,000 characters
    Variable.set(_variable(deployment), kept, tags=["genrec"], overwrite=True)
    return notes


def merge(then: Any, now: Any, here: Any) -> Any:
    """`now`, except where `here` is another than `then`: dictionaries name by name, anything else as a whole."""
    if not all(isinstance(value, dict) for value in (then, now, here)):
        return now if here == then else here
    merged = {}
    for name in [*now, *(n for n in here if n not in now)]:
        value = merge(then.get(name, _ABSENT), now.get(name, _ABSENT), here.get(name, _ABSENT))
        if value is not _ABSENT:
            merged[name] = value
    return merged


def _defined(deployment: "RunnerDeployment") -> dict[str, Any]:
    """The definition as plain data; tags and schedules are dictionaries, so that each is compared by itself."""
    plain = deployment.model_dump(mode="json")
    return {
        **{name: plain[name] for name in _FIELDS},
        "concurrency": [deployment.concurrency_limit, _options(deployment.concurrency_options)],
        "tags": dict.fromkeys(deployment.tags, True),
        "parameters": plain["parameters"],
        "job_variables": plain["job_variables"] or {},
        "schedules": {schedule.slug: _schedule(schedule) for schedule in deployment.schedules or []},
    }


def _on_server(found: DeploymentResponse) -> dict[str, Any]:
    """The same of what the server has."""
    plain = found.model_dump(mode="json", include={*_FIELDS, "parameters", "job_variables"})
    limit = found.global_concurrency_limit
    if found.work_queue_name == "default":  # the queue of a pool for which none was named
        plain["work_queue_name"] = None
    return {
        **{name: plain[name] for name in _FIELDS},
        "concurrency": [limit.limit if limit else None, _options(found.concurrency_options)],
        "tags": dict.fromkeys(found.tags, True),
        "parameters": plain["parameters"],
        "job_variables": plain["job_variables"],
        "schedules": {schedule.slug or str(schedule.id): _schedule(schedule) for schedule in found.schedules},
    }


def _options(options: Any) -> Any:
    return ConcurrencyOptions.model_validate(options, from_attributes=True).model_dump(mode="json") if options else None


def _schedule(schedule: Any) -> dict[str, Any]:
    """Of a schedule that is defined or that the server has: its time as one value, its parameters by name."""
    plain = schedule.model_dump(mode="json", include={"schedule", "active", "parameters"})
    time = [list(pair) for pair in sorted(plain["schedule"].items())]  # lists, as JSON has no tuples
    return {"time": time, "active": plain["active"], "parameters": plain["parameters"] or {}}


def _variable(deployment: "RunnerDeployment") -> str:
    return f"genrec_definition_{deployment.name}".replace("-", "_")


def _record(deployment: "RunnerDeployment", here: dict[str, Any]) -> dict[str, Any] | None:
    """The definition that was deployed last; its description where the server still has that one, else another than any."""
    kept = Variable.get(_variable(deployment), default=None)
    if not isinstance(kept, dict):
        return None
    same = kept["description"] == digest(here["description"])
    return {**kept, "description": here["description"] if same else _ABSENT}


def digest(description: str | None) -> str:
    """What is kept of a description."""
    return hashlib.sha256((description or "").encode()).hexdigest()


def _assumed(now: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    """The definition then of a server that keeps no record: what is on it counts as set by its users."""
    return {**now, **{name: here[name] for name in _WITHOUT_RECORD}}


def _drop_unfit(deployment: "RunnerDeployment", merged: dict[str, Any]) -> list[str]:
    """Take out parameters that the form does not take: the server would refuse the deployment with them.

    Those of a schedule stay, as the server does not look at them and a run that starts with them is refused by name:
    without them, it might train on something else than was meant.
    """
    schema, parameters = deployment._parameter_openapi_schema.model_dump(), merged["parameters"]
    notes = []
    for name, why in _unfit(parameters, schema):
        del parameters[name]
        notes.append(f"{deployment.name}: parameter {name} was removed: {why}")
    for problem in validate(parameters, schema, ignore_required=True):  # each is right, and they contradict each other
        if problem.absolute_path and (name := problem.absolute_path[0]) in parameters:
            del parameters[name]
            notes.append(f"{deployment.name}: parameter {name} was removed: it contradicts another one")
    for schedule in merged["schedules"].values():
        for name, why in _unfit(schedule["parameters"], schema):
            notes.append(f"{deployment.name}: a schedule has parameter {name}, and its runs will be refused: {why}")
    return notes


def _unfit(parameters: dict[str, Any], schema: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and reason of each parameter that the form does not take by itself. No value is repeated."""
    found = []
    for name, value in parameters.items():
        if name not in schema["properties"]:
            found.append((name, "the form has no such field any more"))
        elif validate({name: value}, schema, ignore_required=True):
            found.append((name, "the form does not take its value any more"))
    return found


def _fill(deployment: "RunnerDeployment", merged: dict[str, Any], paused: bool) -> None:
    """Write into the definition what is to be on the server; schedules are left alone by an update without them."""
    for name in (*_FIELDS, "parameters", "job_variables"):
        setattr(deployment, name, merged[name])
    deployment.tags = list(merged["tags"])
    limit, options = merged["concurrency"]
    deployment.concurrency_limit = limit
    deployment.concurrency_options = ConcurrencyOptions.model_validate(options) if options else None
    deployment.paused = paused
    deployment.schedules = None
    deployment.model_fields_set.discard("schedules")  # a null in the request would be refused


def _apply_schedules(client: SyncPrefectClient, deployment: UUID, here: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Change those schedules alone that are to be changed: an update of one drops its runs that are planned already."""
    ids = {s.slug or str(s.id): s.id for s in client.read_deployment_schedules(deployment)}
    for name in here.keys() - wanted.keys():
        client.delete_deployment_schedule(deployment, ids[name])
    for name, schedule in wanted.items():
        if schedule == here.get(name):
            continue
        time, active, parameters = dict(schedule["time"]), schedule["active"], schedule["parameters"]
        made = DeploymentScheduleCreate(schedule=time, active=active, parameters=parameters, slug=name)
        if name in here:
            client.update_deployment_schedule(
                deployment, ids[name], active=made.active, schedule=made.schedule, parameters=made.parameters
            )
        else:
            client.create_deployment_schedules(deployment, [made])
