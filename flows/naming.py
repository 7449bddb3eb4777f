"""Name and tags of the flow run that is at work, told to the Prefect server."""

import re
from datetime import datetime
from functools import cache
from typing import Any

from coolname.data import config as coolname_lists
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from flows.run_names import folder_name, run_name, tags, without_time
from genrec.config import Config

_GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|omicron|pi|rho|sigma|tau|upsilon|phi|chi|"
    "psi|omega"
)
# What the form of a custom run is filled with in the browser: a star, such as gamma3-cygni-void.
_OF_FORM = re.compile(rf"({_GREEK})\d*-[a-z]+(-[a-z]+)*")


def name_flow_run(config: Config, *recipes: str, name: str = "") -> str:
    """Name and tag the flow run of a deployment by its data and recipes; returns the folder of its report under runs/.

    A name that its user typed is kept; else it is `name`, or one by the scheme of all runs. The folder is the same in every
    attempt: it has the time of the first.
    """
    recipe = "-vs-".join(recipes)
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None:
        return folder_name(run_name(config, recipe, name), datetime.now())
    name = run_name(config, recipe, name if is_random(run.name) else run.name)
    with get_client(sync_client=True) as client:
        client.update_flow_run(run.id, name=name, tags=sorted({*run.tags, *tags(config, *recipes)}))
    run.name = name
    return folder_name(name, run.start_time or datetime.now(), run.id.hex[:6])


def name_from_folder() -> str:
    """The `flow_run_name` of a flow with the parameter run_id: that name without its time."""
    context = FlowRunContext.get()
    return without_time(str((context.parameters or {})["run_id"])) if context else ""


def is_random(name: str) -> bool:
    """Whether Prefect made the name up: the server (brave-otter) or the form of a custom run in the UI (gamma3-cygni-void).

    A name that someone typed just so is taken for a random one, too.
    """
    first, _, second = name.partition("-")
    return (first in _words("adj_any") and second in _words("subj")) or bool(_OF_FORM.fullmatch(name))


@cache
def _words(kind: str) -> frozenset[str]:
    """The words of a kind that coolname, from which the server has its names, puts together."""
    lists: dict[str, Any] = coolname_lists
    return frozenset(word for name in lists[kind]["lists"] for word in lists[name]["words"])
