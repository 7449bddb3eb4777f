"""Measure a trained model once more: its config and its artifacts are those of the run that trained it."""

import json
from typing import Any

from flows.finished import finished_report
from flows.service_changes import run_in_service
from flows.stores import named, open_existing
from genrec.config import Config
from genrec.config.load import changed
from genrec.errors import ConfigError, GenrecError
from genrec.store.local import Artifact, Store
from tasks.run import STAGES

COMPUTED = ("baselines", "rank", "evaluate")
_MAY_CHANGE = ("evaluate", "resources")  # sections that change nothing about a model that is trained


def config_and_artifacts(
    run: str,
    name: str,
    store: str | None,
    fields: dict[str, Any],
    settings: list[str],
    may_change: tuple[str, ...] = _MAY_CHANGE,
) -> tuple[Config, dict[str, Artifact]]:
    """What run `run` was made with, or, where that is "", the run in service under `name`; `fields` and `settings` on top,
    the latter of the sections that `may_change`.

    Raises GenrecError where there is no such run, where it stopped early, or where an artifact of it is gone, ConfigError
    for a setting that would make it another model.
    """
    for setting in settings:
        named_ = setting.partition("=")[0].strip()
        section = named_.partition(".")[0]
        if section not in may_change and named_ not in may_change:
            raise ConfigError(
                f"settings: {section} belongs to the model, which is trained already; only settings of "
                f"{', '.join(may_change[:-1])} and {may_change[-1]} can change here"
            )
    opened = open_existing(store)
    report = finished_report(opened.root, run or run_in_service(name, store), opened)
    more: dict[str, Any] = {
        **{"store": named(store), "service.promote": "never", "service.keep": []},
        "service.recommend": False,
    }
    overrides = [f"{setting}={json.dumps(value)}" for setting, value in {**fields, **more}.items()]
    return changed(report["config"], [*overrides, *settings]), _artifacts(report, opened)


def _artifacts(report: dict[str, Any], store: Store) -> dict[str, Artifact]:
    """The artifacts of the stages before the measurement, verified."""
    stages = {stage["name"]: stage for stage in report["stages"]}
    found = {}
    for name in (stage for stage in STAGES if stage not in COMPUTED):
        if name not in stages:
            raise GenrecError(
                f"{report['run_id']}: stopped before {name}; only a run with a trained model can be measured"
            )
        key, digest = stages[name]["key"], stages[name].get("digest")
        artifact = (store.lookup(key, digest) if digest else None) or store.lookup(key)
        if artifact is None:
            raise GenrecError(
                f"{report['run_id']}: its {name} ({key}) is not whole in the store any more; run it again"
            )
        found[name] = artifact
    return found
