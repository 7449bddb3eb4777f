"""Names of runs: when, what, and for runs of a deployment a part of the flow run's id."""

from datetime import datetime

from prefect.context import FlowRunContext


def run_id(name: str) -> str:
    """`<first start>-<name>-<6 hex digits of the flow run>`: a retry of the same flow run gets the same name."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    started = (run.start_time if run else None) or datetime.now().astimezone()
    stem = f"{started.astimezone():%Y%m%d-%H%M%S}-{name}"
    return f"{stem}-{run.id.hex[:6]}" if run else stem
