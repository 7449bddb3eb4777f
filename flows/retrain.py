"""The pipeline, in stage order: raw reviews in, a trained recommender and its report out.

Each call below is one Prefect task and one artifact in the store. A stage whose key is there already is read, not
computed; a run that failed goes on where it stopped.
"""

import contextlib
from typing import Any

from prefect import flow

from genrec.config import Config
from genrec.config.load import validate
from genrec.redact import without_secrets
from genrec.store.prune import running
from genrec.store.remote import open_store
from tasks.checks import check_outside
from tasks.ray.cluster import disconnect
from tasks.run import STAGES, ReachedEnd, Run, check_stage, stages_to_refresh
from tasks.stages.base import base
from tasks.stages.baselines import baselines
from tasks.stages.embed import embed
from tasks.stages.evaluate import evaluate
from tasks.stages.ingest import ingest
from tasks.stages.prepare import prepare
from tasks.stages.promote import artifacts_in_service, promote
from tasks.stages.report import report
from tasks.stages.rl import rl
from tasks.stages.sft import sft
from tasks.stages.sid import sid


@flow(name="retrain", flow_run_name="{run_id}", persist_result=False, validate_parameters=False)
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

    Returns the run's report (what report.json holds).
    """
    stages = stages_to_refresh(from_stage, refresh or [])
    return pipeline(validate(config), run_id, stages, until, refresh_elsewhere=refresh_elsewhere)


def pipeline(
    config: Config,
    run_id: str,
    refresh: frozenset[str] = frozenset(),
    until: str | None = None,
    compute: frozenset[str] | None = None,
    refresh_elsewhere: bool = False,
) -> dict[str, Any]:
    """What the flows share: run the stages and report. `compute` names the stages that may be computed; null: all."""
    check_outside(config)  # again: a run from the UI or a worker starts here
    run = Run(
        config=config,
        store=open_store(config.store),
        run_id=run_id,
        refresh=refresh,
        refresh_elsewhere=refresh_elsewhere,
        until=check_stage(until) if until else None,
        compute=compute,
    )
    with running(run.store.root, run_id):
        return _stages(run)


def _stages(run: Run) -> dict[str, Any]:
    run.store.remove_leftovers()
    run.store.remove_old_generations()
    if run.config.service.keep:
        run.previous = artifacts_in_service(run, "This run takes nothing over from it.")
    try:
        with contextlib.suppress(ReachedEnd):
            raw = ingest(run)
            data = prepare(run, ingest=raw)
            vectors = embed(run, prepare=data)
            ids = sid(run, prepare=data, embed=vectors)
            start = base(run, prepare=data)
            tuned = sft(run, prepare=data, embed=vectors, sid=ids, base=start)
            sharpened = rl(run, prepare=data, sid=ids, base=start, sft=tuned)
            others = baselines(run, prepare=data, embed=vectors)
            evaluate(run, prepare=data, sid=ids, base=start, sft=tuned, rl=sharpened, baselines=others)
        if run.config.service.promote != "never" and run.until in (None, STAGES[-1]):
            promote(run)
        return report(run)
    finally:
        disconnect()
        run.store.release()
