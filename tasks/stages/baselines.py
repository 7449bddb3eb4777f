"""baselines: what the models have to beat, fitted on the same split; not computed again when only a model changes."""

from typing import Any

from genrec import tables
from genrec.config import Config
from genrec.store.local import Artifact
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    read = ("baselines", "choice_users", "beam_width", "sample_users")
    return {**{k: v for k, v in config.evaluate.key_slice().items() if k in read}, "seed": config.seed}


@stage("baselines", version=2, reads=_reads)
def baselines(job: Job, prepare: Artifact, embed: Artifact) -> dict[str, Any]:
    """Fit every baseline on the training sequences, side by side, and rank the full catalogue for every test row.

    The options that the config leaves open are chosen on validation first.
    """
    from genrec.measure.baselines import finish, rank_baseline

    config = job.config.evaluate
    common = {
        "prepared": prepare.path,
        "vectors": tables.VECTORS_FILE.path(embed.path),
        "config": config,
        "seed": job.config.seed,
        "out": job.out,
    }
    calls = [{**common, "index": i} for i in range(len(config.baselines))]
    records = job.ray_tasks(rank_baseline, calls, reports_progress=True) if calls else []
    return finish(config, records, job.out)
