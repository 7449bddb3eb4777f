"""Changes of the model in service that a person asks for: by a command, or by a form of the Prefect UI."""

import os

from flows.finished import finished_report
from flows.stores import open_existing
from genrec.errors import GenrecError
from genrec.in_service.registry import Record, Registry, names
from tasks.run import STAGES


def put_in_service(run: str, store: str | None) -> tuple[str, Record]:
    """Put the model of a finished run in service; (its name, the change).

    Raises GenrecError for a run that stopped early, and Refused for one that may not be in service in this store.
    """
    opened = open_existing(store)
    report = finished_report(opened.root, run, opened)
    stages = [stage for stage in report["stages"] if stage["name"] in STAGES]
    keys, digests = ({stage["name"]: stage[what] for stage in stages} for what in ("key", "digest"))
    if "evaluate" not in keys:
        raise GenrecError(f"{run}: stopped before the evaluation; only a whole run can be put in service")
    registry = Registry(opened, report["name"])
    record = registry.promote(report["run_id"], keys, "by hand", digests=digests)
    _show_in_prefect(registry)
    return registry.name, record


def take_back(name: str, to: int, store: str | None) -> tuple[str, Record]:
    """Put the model back in service that was there before, or that of change number `to`; (its name, the change)."""
    registry = registry_of(name, store)
    record = registry.roll_back(to or None)
    _show_in_prefect(registry)
    return registry.name, record


def run_in_service(name: str, store: str | None) -> str:
    """The run whose model is in service. Raises GenrecError where there is none, or several names to choose from."""
    registry = registry_of(name, store)
    return registry.history()[-1].run_id


def in_words(name: str, record: Record) -> str:
    """A change in a line."""
    return f"{name}: {record.run_id} is in service{' again' * (record.action == 'roll_back')} (change {record.number})"


def _show_in_prefect(registry: Registry) -> None:
    """Bring the artifact of the Prefect UI up to date, where a server is known."""
    if "PREFECT_API_URL" in os.environ:
        from tasks.in_service_artifact import publish  # slow to import, and nothing that a command without server needs

        publish(registry)


def registry_of(name: str, store: str | None) -> Registry:
    """Of the one name there is, where none is given. Raises GenrecError where that is not clear."""
    opened = open_existing(store)
    known = names(opened)
    if not known:
        raise GenrecError(
            f"store {opened.root}: no model is in service; run with --set service.promote=if_not_worse, or put the latest run "
            "in service: python -m flows promote latest"
        )
    if not name and len(known) > 1:
        raise GenrecError(f"several models are in service: {', '.join(known)}; name one")
    if name and name not in known:
        raise GenrecError(f"no model is in service under {name!r}; there are {', '.join(known)}")
    return Registry(opened, name or known[0])
