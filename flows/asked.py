"""Which model is to make lists, and of which events: read before there is a Prefect server, so without Prefect.

Prefect reads its settings when it is imported. What is imported before `flows.session.prefect_api` must not import it:
a flow would then start a second server of Prefect's own, without a password, on the same database.
"""

from collections.abc import Mapping
from typing import Any

from flows.finished import finished_report
from flows.measure_again import config_and_artifacts
from genrec.config import Config
from genrec.errors import GenrecError
from genrec.in_service.registry import Registry
from genrec.store.local import Artifact, Store
from genrec.store.remote import open_store
from tasks.fingerprint import check_file

_MAY_CHANGE = ("recommend", "resources", "service.rank")  # what changes nothing about a model that is trained
_RANK = "rank"  # the stage; tasks/stages/recommend.py, which has the name, imports Prefect


def what_is_asked(
    run: str, name: str, events_of: str, store: str | None, fields: dict[str, Any], settings: list[str]
) -> tuple[Config, dict[str, Artifact], str, str]:
    """(the config, the artifacts by stage, the run of the model, the run whose events become histories).

    The model is that of `run`, or, where that is "", the one in service under `name`; the events are those of the run
    `events_of`, or of the model's. Raises GenrecError where one of them, or a file that a setting
    names, is not there, ConfigError for a setting of the model.
    """
    config, artifacts = config_and_artifacts(run, name, store, fields, settings, _MAY_CHANGE)
    for setting, file in config.recommend.files().items():
        check_file(setting, file)
    opened = open_store(config.store)
    model = _run_of(artifacts, run, config, opened)
    if config.service.rank:
        artifacts |= _rank_of(run, config, opened)
    if not events_of:
        return config, artifacts, model, model
    report = finished_report(opened.root, events_of, opened)
    stage = next(stage for stage in report["stages"] if stage["name"] == "ingest")
    events = opened.lookup(stage["key"], stage["digest"]) or opened.lookup(stage["key"])
    if events is None:
        raise GenrecError(f"{events_of}: its ingest ({stage['key']}) is not whole in the store any more; run it again")
    return config, {**artifacts, "ingest": events}, model, report["run_id"]


def _rank_of(run: str, config: Config, store: Store) -> dict[str, Artifact]:
    """The rank artifact of the model's run, or of the model in service where `run` is "". Raises GenrecError where it is gone."""
    if run:
        report = finished_report(store.root, run, store)
        keys = {stage["name"]: (stage["key"], stage.get("digest")) for stage in report["stages"]}
    else:
        record = Registry(store, config.name).current()
        keys = {} if record is None else {name: (key, record.digests.get(name)) for name, key in record.keys.items()}
    if _RANK not in keys:
        return {}
    key, digest = keys[_RANK]
    artifact = (store.lookup(key, digest) if digest else None) or store.lookup(key)
    if artifact is None:
        raise GenrecError(f"the rank artifact of the model ({key}) is not whole in the store any more; run it again")
    return {_RANK: artifact}


def _run_of(artifacts: Mapping[str, Artifact], run: str, config: Config, store: Store) -> str:
    if run:
        return finished_report(store.root, run, store)["run_id"]
    record = Registry(store, config.name).current()
    return record.run_id if record else artifacts["rl"].key
