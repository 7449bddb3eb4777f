"""sft: supervised fine-tuning, one pass per user; a killed run goes on from its last checkpoint."""

from typing import Any

from genrec.config import Config
from genrec.store import Artifact
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    return {**config.sft.key_slice(), "seed": config.seed}


@stage("sft", version=2, reads=_reads)
def sft(job: Job, prepare: Artifact, embed: Artifact, sid: Artifact, base: Artifact) -> dict[str, Any]:
    """Teach the model to write the next item's semantic id."""
    from genrec.sft.train import train_sft

    return job.ray_task(
        train_sft,
        prepared=prepare.path,
        sids=sid.path / "sids.parquet",
        base=base.path,
        vectors=embed.path / "vectors.parquet",
        config=job.config.sft,
        max_history=job.config.prepare.max_history,
        seed=job.config.seed,
        work=job.work,
        out=job.out,
    )
