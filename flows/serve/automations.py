"""Runs whose process is gone are marked crashed: by the server when heartbeats stop, and when `serve` starts again."""

from datetime import timedelta
from typing import cast

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.states import Crashed

# The engine sends one heartbeat in this time at most (Prefect's smallest); three missed ones mean a dead process.
HEARTBEAT_S = 30
SILENCE_S = 3 * HEARTBEAT_S
NAME = "genrec: runs whose process is gone are crashed"


def install() -> None:
    """Create the automation, or bring the one that is there up to date. Nothing is added twice."""
    wanted = Automation(
        name=NAME,
        description=f"No heartbeat for {SILENCE_S} s: the process was killed, or its machine is gone. "
        "Retry the run: finished stages come from the store.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Running", "prefect.flow-run.heartbeat"},
            expect={
                "prefect.flow-run.heartbeat",
                "prefect.flow-run.Completed",
                "prefect.flow-run.Failed",
                "prefect.flow-run.Cancelled",
                "prefect.flow-run.Crashed",
            },
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENCE_S),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No heartbeat for {SILENCE_S} s: its process is gone. Retry goes on at the stage in flight.",
            )
        ],
    )
    try:
        wanted.id = cast(Automation, Automation.read(name=NAME)).id
    except ValueError:
        wanted.create()
    else:
        wanted.update()


def crash_abandoned_runs(tag: str) -> int:
    """Mark crashed what seems to run of the deployments with this tag; returns how many.

    For the one runner of a store, before it starts any run: none of its runs can be alive then.
    """
    alive = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=alive)),
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[tag])),
        )
        for run in runs:
            message = "The process is gone. Retry goes on at the stage in flight."
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    return len(runs)
