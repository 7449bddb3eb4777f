"""What became of a run's model, in the name of its flow run: `demo default: kept` says more in a list than `Completed`."""

import re
from typing import Any

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

_SAID = re.compile(r": (promoted|kept|refused)$")


def say_in_name(report: dict[str, Any]) -> None:
    """Add the decision to the name of the flow run that is at work; nothing where the run was not to promote.

    Call it last: a retry of the run finds its name as it was.
    """
    decision = report.get("promotion", {}).get("decision")
    context = FlowRunContext.get()
    if decision is None or context is None or context.flow_run is None:
        return
    name = f"{_SAID.sub('', context.flow_run.name)}: {decision}"
    with get_client(sync_client=True) as client:
        client.set_flow_run_name(context.flow_run.id, name)
    context.flow_run.name = name
