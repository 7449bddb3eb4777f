"""The model in service as an artifact of the Prefect UI: one key for each name, a new version at each change."""

import contextlib
import logging
import re
import time
from collections.abc import Iterator
from typing import cast

import httpx
from prefect.artifacts import Artifact, create_markdown_artifact
from prefect.exceptions import PrefectException

from genrec.errors import GenrecError
from genrec.in_service.registry import Record, Registry, names
from genrec.store.local import Store

_NUM_CHANGES = 20
_HOW = "Change it by the deployments promote and roll-back, or by `python -m flows promote RUN` and `python -m flows rollback`."


def key_of(name: str) -> str:
    """The key of the artifact: lowercase letters, digits and dashes."""
    return f"in-service-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"


def publish(registry: Registry) -> None:
    """Show what is in service now."""
    with _never_worth_more_than_a_warning():
        history = registry.history()
        if history:
            text, about = _page(registry.name, history), _in_short(history[-1])
            create_markdown_artifact(text, key=key_of(registry.name), description=about)


def bring_up_to_date(store: Store) -> None:
    """Show the models in service that were put there while no server was up."""
    with _never_worth_more_than_a_warning():
        for name in names(store):
            registry = Registry(store, name)
            record, shown = registry.current(), cast("Artifact | None", Artifact.get(key_of(name)))
            if record is not None and (shown is None or shown.description != _in_short(record)):
                publish(registry)


@contextlib.contextmanager
def _never_worth_more_than_a_warning() -> Iterator[None]:
    """A server that does not answer, or a damaged record, costs the display: neither a change nor a `serve`."""
    try:
        yield
    except (GenrecError, httpx.HTTPError, PrefectException, OSError) as error:
        logging.getLogger(__name__).warning("the model in service is not shown (%s: %s)", type(error).__name__, error)


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
