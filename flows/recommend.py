"""Lists for every customer: by the model in service or that of a run, at any time; and each night, behind the promotion."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow

from flows.finished import finished_report
from flows.interrupts import cancelled_when_stopped, interruptible
from flows.live import shown_in_prefect
from flows.measure_again import config_and_artifacts
from flows.naming import name_from_folder
from flows.publish import publish_recommendations
from genrec.config import Config
from genrec.errors import GenrecError
from genrec.in_service.registry import Registry
from genrec.redact import without_secrets
from genrec.serve.batch.copies import copy_out
from genrec.store.local import Artifact, Store
from genrec.store.prune import running
from genrec.store.remote import open_store
from tasks.fingerprint import check_file
from tasks.ray.cluster import disconnect
from tasks.ray.watch import watcher
from tasks.run import Run
from tasks.stages.promote import artifacts_in_service
from tasks.stages.recommend import MODEL, RANK, ranked_by, recommend

_MAY_CHANGE = ("recommend", "resources", "service.rank")  # what changes nothing about a model that is trained


@flow(name="recommend", flow_run_name=name_from_folder, persist_result=False, validate_parameters=False)
@cancelled_when_stopped
@without_secrets()
def recommend_flow(
    run_id: str,
    run: str = "",
    name: str = "",
    events_of: str = "",
    store: str | None = None,
    fields: dict[str, Any] | None = None,
    settings: list[str] | None = None,
) -> dict[str, Any]:
    """Make lists for every customer by a model that is trained; see `recommendations`."""
    asked = what_is_asked(run, name, events_of, store, fields or {}, settings or [])
    with shown_in_prefect():
        return recommendations(*asked, run_id)


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
    if RANK not in keys:
        return {}
    key, digest = keys[RANK]
    artifact = (store.lookup(key, digest) if digest else None) or store.lookup(key)
    if artifact is None:
        raise GenrecError(f"the rank artifact of the model ({key}) is not whole in the store any more; run it again")
    return {RANK: artifact}


def _run_of(artifacts: Mapping[str, Artifact], run: str, config: Config, store: Store) -> str:
    if run:
        return finished_report(store.root, run, store)["run_id"]
    record = Registry(store, config.name).current()
    return record.run_id if record else artifacts["rl"].key


def recommendations(
    config: Config, artifacts: dict[str, Artifact], model: str, events_of: str, run_id: str
) -> dict[str, Any]:
    """Make the lists and say where they are; see `make_lists`."""
    run = Run(config=config, store=open_store(config.store), run_id=run_id)
    with running(run.store.root, run_id):
        return interruptible(partial(_alone, run, artifacts, model, events_of))


def _alone(run: Run, artifacts: dict[str, Artifact], model: str, events_of: str) -> dict[str, Any]:
    run.store.remove_leftovers()
    try:
        return make_lists(run, artifacts["ingest"], artifacts, model, events_of)
    finally:
        disconnect()
        run.store.release()


def by_model_in_service(run: Run) -> dict[str, Any] | None:
    """At the end of a run: lists by the model that is in service then, from this run's events; None where none is."""
    record = Registry(run.store, run.config.name).current()
    stages = (*MODEL, RANK) if run.config.service.rank else MODEL
    model = artifacts_in_service(run, "No lists are made for the customers.", stages)
    if record is None or not model:
        watcher().message("recommend: no model is in service, so no lists are made")
        return None
    return make_lists(run, run.artifacts["ingest"], model, record.run_id, run.run_id)


def make_lists(
    run: Run, events: Artifact, model: dict[str, Artifact], model_run: str, events_of: str
) -> dict[str, Any]:
    """The stage `recommend`; then its artifact is the newest of this name in the store, copied out, and shown in Prefect.

    `model` has the artifacts of the stages MODEL and, where lists may be ranked by it, of rank.

    Returns what recommendations/<name>/latest.json holds: the summary of the stage (genrec/serve/batch/collect.py) with
    key, digest and folder (`path`) of the artifact, status (computed | cached), k, and the runs of model and events.
    """
    inputs = {stage: model[stage] for stage in MODEL}
    made = recommend(run, ingest=events, **inputs, **ranked_by(run.config, model))
    config, status = run.config.recommend, next(r["status"] for r in run.records if r["name"] == recommend.name)
    result = {
        **made.summary,
        **{"run_id": run.run_id, "model": model_run, "model_key": model["rl"].key, "events_of": events_of},
        **{"k": config.k, "status": status, "key": made.key, "digest": made.digest, "path": str(made.path)},
    }
    if config.out is not None:
        copy_out(made.path, Path(config.out))
        result["path"] = str(Path(config.out).absolute())
    text = json.dumps(result, indent=1, sort_keys=True) + "\n"
    run.store.write_document(f"recommendations/{run.config.name}/latest.json", text)
    publish_recommendations(run.config.name, result)
    return result
