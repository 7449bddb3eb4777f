"""The last step of a retraining: promote the new model, or leave the model in service where it is.

`run.promotion`, which becomes `promotion` in report.json, says what was decided: promoted (bool), decision (promoted;
kept: the model in service is not replaced; refused: this model may not go into service in this store), in_service (run
id, or null), why, change (number of the registry's record, where promoted), and the figures of the comparison, if any.
"""

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import MissingContextError
from prefect.states import Completed, State
from prefect.utilities.annotations import opaque

from genrec.in_service.decision import Rule, decide
from genrec.in_service.registry import Record, Registry
from genrec.report import words
from genrec.store.local import Artifact
from tasks.in_service_artifact import publish
from tasks.ray.watch import watcher
from tasks.run import Run
from tasks.stages.in_service import in_service

_COMPARED = ("prepare", "sid", "base", "rl")  # the stages that make a model that can rank


def artifacts_in_service(run: Run, follows: str, stages: Sequence[str] = ()) -> dict[str, Artifact]:
    """The artifacts of the model in service by stage (all, or those of `stages`); empty where there is no such model.

    Empty too where one of them is gone, which is said in the log, on the terminal and in the report, with what
    `follows` from it.
    """
    registry = Registry(run.store, run.config.name)
    record = registry.current()
    if record is None:
        return {}
    stored = {stage: registry.artifact(record, stage) for stage in record.keys if stage in (stages or record.keys)}
    gone = [f"{stage} ({record.keys[stage]})" for stage, artifact in stored.items() if artifact is None]
    if gone:
        _warn(
            run,
            f"The model in service, {record.run_id}, is not whole in the store: missing or damaged are {', '.join(gone)}. "
            f"{follows} To restore it, run {record.run_id} again with its own settings.",
        )
        return {}
    return {stage: artifact for stage, artifact in stored.items() if artifact is not None}


def promote(run: Run) -> None:
    """Measure the model in service on this run's rows and promote the new one by the rule; fills run.promotion."""
    artifacts = dict(run.artifacts)
    keys = {stage: artifact.key for stage, artifact in artifacts.items()}
    registry = Registry(run.store, run.config.name)
    record = registry.current()
    figures: dict[str, Any] = {}
    good_enough = True
    read: list[Artifact] = []
    refusal = registry.refusal(run.run_id, keys, _digests(run))
    if refusal:
        why, good_enough = refusal, False
    elif record is None:
        why = "no model was in service"
    elif record.keys == keys:
        why, good_enough = "this model is in service already", False
    elif not (before := artifacts_in_service(run, "The new model is promoted without a comparison.", _COMPARED)):
        why = f"the model in service ({record.run_id}) is not whole in the store any more"
    else:
        new = {stage: artifacts[stage] for stage in _COMPARED}
        measured = in_service(run, **new, **{f"current_{stage}": before[stage] for stage in _COMPARED})
        if measured.summary["valid_rows"]:
            evaluate, service = run.config.evaluate, run.config.service
            rule: Rule = "if_better" if service.promote == "if_better" else "if_not_worse"
            read = [artifacts["evaluate"], measured]
            figures = decide(artifacts["evaluate"].path, measured.path, evaluate, rule, service.max_loss)
            why, good_enough = words.why_promoted(figures), figures["good_enough"]
        else:
            why, good_enough = "there is no validation row to compare the two models on", False
    step = task(name="promote", task_run_name="promote", cache_policy=NO_CACHE, persist_result=False)(_promote)
    decision = "refused" if refusal else "promoted" if good_enough else "kept"
    step(opaque(run), opaque(keys), opaque(record), why, opaque(figures), decision, wait_for=read)


def _promote(
    run: Run, keys: dict[str, str], record: Record | None, why: str, figures: dict[str, Any], decision: str
) -> State[None]:
    """Put the new model in service, or leave the one that is there; log, state and report say which and why."""
    in_service = record.run_id if record else None
    if decision == "promoted":
        registry = Registry(run.store, run.config.name)
        change = registry.promote(run.run_id, keys, why, figures, _digests(run))
        publish(registry)
        figures, in_service = {"change": change.number, **figures}, change.run_id
    run.promotion = {
        **{"promoted": decision == "promoted", "decision": decision, "in_service": in_service, "why": why},
        **figures,
    }
    said = words.promotion(run.promotion)
    with contextlib.suppress(MissingContextError):
        get_run_logger().log(logging.WARNING if decision == "refused" else logging.INFO, said)
    return Completed(name=decision.capitalize(), message=said)


def _digests(run: Run) -> dict[str, str]:
    return {stage: artifact.digest for stage, artifact in run.artifacts.items()}


def _warn(run: Run, text: str) -> None:
    if text not in run.warnings:
        run.warnings.append(text)
    watcher().message(text)
    with contextlib.suppress(MissingContextError):  # called outside a flow, as tests do
        get_run_logger().warning(text)
