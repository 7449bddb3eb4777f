"""sft: supervised fine-tuning, one pass per user; a killed run continues from its last checkpoint."""

from typing import Any

from genrec import tables
from genrec.config import Config
from genrec.store.local import Artifact
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    return {**config.sft.key_slice(), "seed": config.seed}


def _takes_over(config: Config) -> str | None:
    return "weights" if "weights" in config.service.keep else None


@stage("sft", version=3, reads=_reads, takes_over=_takes_over, same_settings=False)
def sft(job: Job, prepare: Artifact, embed: Artifact, sid: Artifact, base: Artifact) -> dict[str, Any]:
    """Train the model on the next item's semantic id, from the base or from the model in service."""
    from genrec.train.sft.train import train_sft
    from genrec.train.sft.warm_start import WarmStart
    from tasks.ray.parallel import train

    start = None
    # By digest, not by key: ids that were refreshed since may be others.
    if job.previous and (sid.summary.get("ids") == "kept" or sid.digest == job.previous["sid"].digest):
        before = job.previous
        start = WarmStart(before["sft"].path, before["base"].path, tables.CATALOGUE_FILE.path(before["prepare"].path))
    call = {
        "prepared": prepare.path,
        "sids": tables.SIDS_FILE.path(sid.path),
        "base": base.path,
        "vectors": tables.VECTORS_FILE.path(embed.path),
        "warm_start": start,
        "config": job.config.sft,
        "max_history": job.config.prepare.max_history,
        "seed": job.config.seed,
        "work": job.work,
        "out": job.out,
    }
    return train("sft", train_sft, call, job.config.sft.data_parallel, job.config, job.work)
