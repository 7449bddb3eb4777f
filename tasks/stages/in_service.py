"""in_service: this run's model and the model in service on the same validation rows, and the latter on the test rows."""

from typing import Any

from genrec.config import Config
from genrec.store.local import Artifact
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    # What changes a ranked list of one model. Cut-offs and resamples come after the ranks that this stage stores.
    wanted = ("beam_width", "seen_items", "precision", "compile", "sample_users")
    return {k: v for k, v in config.evaluate.key_slice().items() if k in wanted}


@stage("in_service", version=1, reads=_reads)
def in_service(
    job: Job,
    prepare: Artifact,
    sid: Artifact,
    base: Artifact,
    rl: Artifact,
    current_prepare: Artifact,
    current_sid: Artifact,
    current_base: Artifact,
    current_rl: Artifact,
) -> dict[str, Any]:
    """Rank the rows with both models; the one in service as it is, in the item numbers of its own catalogue."""
    from genrec.in_service.ranks import CURRENT, MEASURED, NEW, write_ranks
    from genrec.measure.decoding import decode_shard
    from genrec.measure.rows import shards

    config, use = job.config.evaluate, job.config.resources.evaluate
    models = {
        NEW: {"sids": sid.path, "model": rl.path, "base": base.path},
        CURRENT: {
            "sids": current_sid.path,
            "model": current_rl.path,
            "base": current_base.path,
            "trained_on": current_prepare.path,
        },
    }
    with job.scratch() as folder:
        calls = [
            {
                **models[model],
                "prepared": prepare.path,
                "name": model,
                "config": config,
                "split": split,
                "protocols": [config.seen_items],
                "bounds": bounds,
                "parts": folder / split,
            }
            for split, model in MEASURED
            for bounds in shards(prepare.path, config.num_shards, split, config.sample_users)
        ]
        job.ray_tasks(decode_shard, calls, reports_progress=True, use=use)
        return write_ranks(folder, prepare.path, current_prepare.path, config, job.out)
