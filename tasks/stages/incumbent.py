"""incumbent: the model in service on the test rows of this run, so that the two can be compared."""

from typing import Any

from genrec.config import Config
from genrec.store.local import Artifact
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    return {k: v for k, v in config.evaluate.key_slice().items() if k in ("ks", "beam_width", "seen_items")}


@stage("incumbent", version=1, reads=_reads)
def incumbent(
    job: Job, prepare: Artifact, old_prepare: Artifact, old_sid: Artifact, old_base: Artifact, old_model: Artifact
) -> dict[str, Any]:
    """Decode the test rows of this run with the model in service, as it is."""
    from genrec.measure.incumbent import NAME, keep_ranks, translate_test_rows
    from genrec.measure.predictions import decode_shard, shards

    config, use = job.config.evaluate, job.config.resources.evaluate
    with job.scratch() as folder:
        counts = translate_test_rows(prepare.path, old_prepare.path, folder)
        calls = [
            {
                "prepared": folder,
                "sids": old_sid.path,
                "model": old_model.path,
                "base": old_base.path,
                "name": NAME,
                "config": config,
                "bounds": bounds,
                "parts": folder / "parts",
            }
            for bounds in shards(folder, config.num_shards)
        ]
        job.ray_tasks(decode_shard, calls, reports_progress=True, use=use)
        keep_ranks(folder / "parts", folder, config, job.out)
    return counts
