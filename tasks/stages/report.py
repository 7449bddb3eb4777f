"""The report of a run: written again each time (it says what was cached), from the artifacts of the stages that ran."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import opaque

from genrec.data.coverage import left_out_in_words
from genrec.data.ingest import left_out
from genrec.report.report import RunRecord, write_report
from tasks.run import Run

# Where Prefect's graph shows an arrow from.
_READ = ("ingest", "prepare", "sid", "sft", "rl", "baselines", "rank", "evaluate")


def report(run: Run) -> dict[str, Any]:
    """Write runs/<run-id>/report.json and report.html and point runs/latest to it; returns what report.json holds."""
    step = task(name="report", task_run_name="report", cache_policy=NO_CACHE, persist_result=False)(_report)
    return step(opaque(run), wait_for=[artifact for stage, artifact in run.artifacts.items() if stage in _READ])


def _report(run: Run) -> dict[str, Any]:
    """Figures, plots and protocol of the run."""
    folder = run.store.run_path(run.run_id)
    record: RunRecord = {
        "run_id": run.run_id,
        "started_at_unix_s": int(run.started_at),
        "config": run.config.model_dump(mode="json"),
        "stages": run.records,
        "artifacts": {stage: str(artifact.path) for stage, artifact in run.artifacts.items()},
    }
    if run.promotion is not None:
        record["promotion"] = run.promotion
    # Looked up each time: files that are not read are no part of a key.
    left = left_out_in_words(left_out(run.config.data)) if "ingest" in run.artifacts else []
    record["warnings"] = [*left, *run.warnings]
    report = write_report(record, folder)
    run.store.finish_run(run.run_id)
    return report
