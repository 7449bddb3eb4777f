"""The model in service as an artifact of the Prefect UI: one key for each name, a new version at each change."""

import logging
import re
import time
from typing import cast

import httpx
from prefect.artifacts import Artifact, create_markdown_artifact
from prefect.exceptions import PrefectException

from genrec.in_service.registry import Record, Registry, names
from genrec.store.local import Store

_NUM_CHANGES = 20
_HOW = "Change it by the deployments promote and roll-back, or by `python -m flows promote RUN` and `python -m flows rollback`."


def key_of(name: str) -> str:
    """The key of the artifact: lowercase letters, digits and dashes."""
    return f"in-service-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"


def publish(registry: Registry) -> None:
    """Show what is in service now. A server that does not answer costs the display, not the change: it is logged."""
    history = registry.history()
    if not history:
        return
    try:
        create_markdown_artifact(
            _page(registry.name, history), key=key_of(registry.name), description=_in_short(history[-1])
        )
    except (httpx.HTTPError, PrefectException, OSError) as error:
        logging.getLogger(__name__).warning("the model in service is not shown (%s)", type(error).__name__)


def bring_up_to_date(store: Store) -> None:
    """Show the models in service that were put there while no server was up."""
    for name in names(store):
        registry = Registry(store, name)
        record, shown = registry.current(), cast("Artifact | None", Artifact.get(key_of(name)))
        if record is not None and (shown is None or shown.description != _in_short(record)):
            publish(registry)


def _in_short(record: Record) -> str:
    return f"Change {record.number}: {record.run_id}"


def _page(name: str, history: list[Record]) -> str:
    now = history[-1]
    rows = "\n".join(
        f"| {r.number} | {_when(r)} | {r.action.replace('_', ' ')} | `{r.run_id}` | {r.why.replace('|', '/')} |"
        for r in history[: -_NUM_CHANGES - 1 : -1]
    )
    return (
        f"# {name}: `{now.run_id}` is in service\n\nSince {_when(now)} (change {now.number}): {now.why}.\n\n"
        f"| change | when | | run | why |\n|---|---|---|---|---|\n{rows}\n\n{_HOW}\n"
    )


def _when(record: Record) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(record.at_unix_s))
