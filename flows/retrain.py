"""The pipeline, in stage order: raw reviews in, a trained recommender and its report out.

Each stage below is one Prefect task and one artifact in the store. It starts when what it reads is there; stages that
do not read each other run side by side where there are cores for both. A stage whose key is in the store already is
read, not computed; a run that failed goes on where it stopped.
"""

from functools import partial
from typing import Any

from prefect import flow

from flows.decision import say_in_name
from flows.events import tell_refused
from flows.interrupts import cancelled_when_stopped, interruptible
from flows.live import shown_in_prefect
from flows.naming import name_from_folder
from flows.publish import publish_report
from flows.recommend import by_model_in_service
from genrec.config import Config
from genrec.config.load import validate
from genrec.redact import without_secrets
from genrec.store.local import Artifact
from genrec.store.prune import running
from genrec.store.remote import open_store
from tasks.checks import check_outside
from tasks.ray.cluster import disconnect
from tasks.run import STAGES, Run, check_stage, stages_to_refresh
from tasks.side_by_side import side_by_side
from tasks.stages.base import base
from tasks.stages.baselines import baselines
from tasks.stages.embed import embed
from tasks.stages.evaluate import evaluate
from tasks.stages.ingest import ingest
from tasks.stages.prepare import prepare
from tasks.stages.promote import artifacts_in_service, promote
from tasks.stages.rank import rank
from tasks.stages.report import report
from tasks.stages.rl import rl
from tasks.stages.sft import sft
from tasks.stages.sid import sid


@flow(name="retrain", flow_run_name=name_from_folder, persist_result=False, validate_parameters=False)
@cancelled_when_stopped
@without_secrets()
def retrain(
    config: dict[str, Any],
    run_id: str,
    from_stage: str | None = None,
    refresh: list[str] | None = None,
    until: str | None = None,
    refresh_elsewhere: bool = False,
) -> dict[str, Any]:
    """Train and evaluate a recommender from one config.

    config: the whole configuration as plain data (see conf/README.md).
    run_id: folder of the report under runs/ in the store, and the name of the run.
    from_stage: recompute this stage and all after it. refresh: recompute these stages. until: stop after this stage.
    refresh_elsewhere: recompute what was made on another CPU or GPU, with other threads or other versions of libraries.

    Returns the run's report (what report.json holds), which is published as artifacts, too.
    """
    stages = stages_to_refresh(from_stage, refresh or [])
    with shown_in_prefect():
        result = pipeline(validate(config), run_id, stages, until, refresh_elsewhere=refresh_elsewhere)
    publish_report(result, open_store(config["store"]))
    say_in_name(result)
    return result


def pipeline(
    config: Config,
    run_id: str,
    refresh: frozenset[str] = frozenset(),
    until: str | None = None,
    compute: frozenset[str] | None = None,
    refresh_elsewhere: bool = False,
    given: dict[str, Artifact] | None = None,
) -> dict[str, Any]:
    """What the flows share: run the stages and report. `compute` names the stages that may be computed; null: all.

    given: artifacts by stage that are taken as they are, whatever their keys.

    Raises Stopped, or the interrupt, where the run was stopped: no stage is at work any more then.
    """
    if not given:  # else neither data nor base model is read
        check_outside(config)  # again: a run of a worker on another machine begins here
    run = Run(
        config=config,
        store=open_store(config.store),
        run_id=run_id,
        refresh=refresh,
        refresh_elsewhere=refresh_elsewhere,
        until=check_stage(until) if until else None,
        compute=compute,
        given=given or {},
    )
    with running(run.store.root, run_id):
        return interruptible(partial(_stages, run))


def _stages(run: Run) -> dict[str, Any]:
    run.store.remove_leftovers()
    run.store.remove_old_generations()
    if run.config.service.keep:
        run.previous = artifacts_in_service(run, "This run takes nothing over from it.")
    try:
        with side_by_side(run) as start:
            raw = start(ingest)
            data = start(prepare, ingest=raw)
            vectors = start(embed, prepare=data)
            ids = start(sid, prepare=data, embed=vectors)
            untrained = start(base, prepare=data)
            tuned = start(sft, prepare=data, embed=vectors, sid=ids, base=untrained)
            sharpened = start(rl, prepare=data, sid=ids, base=untrained, sft=tuned)
            others = start(baselines, prepare=data, embed=vectors)
            measured = {
                "prepare": data,
                "sid": ids,
                "base": untrained,
                "sft": tuned,
                "rl": sharpened,
                "baselines": others,
            }
            if run.config.rank.enabled:
                measured["rank"] = start(rank, prepare=data, embed=vectors, sid=ids, base=untrained, rl=sharpened)
            start(evaluate, **measured)
        if run.config.service.promote != "never" and run.until in (None, STAGES[-1]):
            promote(run)
            tell_refused(run)
        result = report(run)
        if run.config.service.recommend and run.until in (None, STAGES[-1]):
            result["recommendations"] = by_model_in_service(run)
        return result
    finally:
        disconnect()
        run.store.release()
