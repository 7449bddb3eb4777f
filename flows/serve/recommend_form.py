"""The form that makes lists for every customer."""

import os

from flows.asked import what_is_asked
from flows.live import shown_in_prefect
from flows.naming import name_flow_run
from flows.recommend import recommendations
from flows.run_names import without_time
from flows.serve.form import form
from flows.serve.forms import (
    AS_CHOSEN,
    EventsOf,
    ListLength,
    OutFolder,
    RunToAsk,
    SeenItems,
    ServiceName,
    Settings,
    UsersFile,
    overrides_of,
    settings_of,
)


@form("recommend", gone={})
def recommend(
    run: RunToAsk = "",
    name: ServiceName = "",
    users: UsersFile = "",
    k: ListLength = 0,
    seen_items: SeenItems = AS_CHOSEN,
    events_of: EventsOf = "",
    out: OutFolder = "",
    settings: Settings = [],  # noqa: B006
) -> None:
    """Make lists for every customer, as Parquet, by the model in service or that of a finished run."""
    fields = settings_of(
        recommend__users=users, recommend__k=k or None, recommend__seen_items=seen_items, recommend__out=out
    )
    overrides_of(fields, settings)  # refuses contradictions
    asked = what_is_asked(run, name, events_of, os.environ.get("GENREC_STORE"), fields, settings)
    called = f"recommend-{without_time(run) if run else name or 'in-service'}"
    with shown_in_prefect():
        recommendations(*asked, name_flow_run(asked[0], name=called))
