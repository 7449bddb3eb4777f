"""The last step of a retraining: put the new model in service, or leave the one that is there."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from genrec.measure.incumbent import compare, in_words
from genrec.store.local import Artifact
from genrec.store.registry import Record, Registry
from tasks.run import Run
from tasks.stages.incumbent import incumbent

_NEEDED = ("prepare", "sid", "base", "rl")


def in_service(run: Run) -> dict[str, Artifact]:
    """The artifacts of the model in service by stage; empty where there is none or one of them is gone."""
    record = Registry(run.store, run.config.name).current()
    found = {stage: run.store.lookup(key) for stage, key in record.keys.items()} if record else {}
    whole = {stage: artifact for stage, artifact in found.items() if artifact is not None}
    return whole if len(whole) == len(found) else {}


def promote(run: Run) -> None:
    """Measure the model in service on this run's test rows and put the better one in service; fills run.promotion."""
    artifacts = dict(run.artifacts)
    keys = {stage: artifact.key for stage, artifact in artifacts.items()}
    record = Registry(run.store, run.config.name).current()
    before = in_service(run)
    figures: dict[str, Any] = {}
    if record and record.keys == keys:
        why = "this model is in service already"
    elif record and not before:
        why = f"the model in service ({record.run_id}) is not whole in the store any more"
    elif record:
        measured = incumbent(
            run, prepare=artifacts["prepare"], **{f"old_{n}": before[n] for n in _NEEDED[:-1]}, old_model=before["rl"]
        )
        figures = compare(artifacts["evaluate"].path, measured.path, run.config.evaluate, run.config.service.max_loss)
        why = in_words(figures)
    else:
        why = "no model was in service"
    step = task(name="promote", task_run_name="promote", cache_policy=NO_CACHE, persist_result=False)(_promote)
    step(run, keys, record, why, figures)


def _promote(run: Run, keys: dict[str, str], record: Record | None, why: str, figures: dict[str, Any]) -> None:
    """Decide which model is in service from now on."""
    if record is not None and (record.keys == keys or (figures and not figures["good_enough"])):
        run.promotion = {"promoted": False, "in_service": record.run_id, "why": why, **figures}
        return
    made = Registry(run.store, run.config.name).promote(run.run_id, keys, why, figures)
    run.promotion = {"promoted": True, "in_service": made.run_id, "change": made.number, "why": why, **figures}
