"""Lists for every customer: by the model in service or that of a run, at any time; and each night, behind the promotion."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow

from flows.asked import what_is_asked
from flows.interrupts import cancelled_when_stopped, interruptible
from flows.live import shown_in_prefect
from flows.naming import name_from_folder
from flows.publish import publish_recommendations
from genrec.config import Config
from genrec.in_service.registry import Registry
from genrec.redact import without_secrets
from genrec.serve.batch.copies import copy_out
from genrec.store.local import Artifact
from genrec.store.prune import running
from genrec.store.remote import open_store
from tasks.ray.cluster import disconnect
from tasks.ray.watch import watcher
from tasks.run import Run
from tasks.stages.promote import artifacts_in_service
from tasks.stages.recommend import MODEL, RANK, ranked_by, recommend


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
