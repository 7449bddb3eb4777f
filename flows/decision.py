"""What became of a model, in the name of the flow run: `demo default: kept` says more in a list than `Completed`."""

import re
from collections.abc import Callable
from typing import Any

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from genrec.in_service.registry import Record

_SAID = re.compile(r": (promoted|kept|refused)$")


def say_in_name(report: dict[str, Any]) -> None:
    """Add the decision to the name of the flow run that is at work; nothing where the run was not to promote.

    Call it last: a retry of the run finds its name as it was.
    """
    decision = report.get("promotion", {}).get("decision")
    if decision is not None:
        _rename(lambda name: f"{_SAID.sub('', name)}: {decision}")


def name_by_change(record: Record) -> None:
    """Call the flow run that is at work by the change of the model in service that it made."""
    _rename(lambda name: f"{record.action.replace('_', ' ')} {record.run_id}")


def _rename(new: Callable[[str], str]) -> None:
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None:
        return
    run.name = new(run.name)
    with get_client(sync_client=True) as client:
        client.set_flow_run_name(run.id, run.name)
