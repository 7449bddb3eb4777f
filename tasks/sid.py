"""sid: vectors to collision-free semantic ids."""

from typing import Any

from genrec.config import Config
from genrec.store import Artifact
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    return {**config.sid.key_slice(), "seed": config.seed}


@stage("sid", version=2, reads=_reads)
def sid(job: Job, prepare: Artifact, embed: Artifact) -> dict[str, Any]:
    """Fit the tokenizer on the item vectors and give every item its semantic id."""
    from genrec.sid.stage import assign

    return job.ray_task(
        assign,
        vectors_path=embed.path / "vectors.parquet",
        catalogue_path=prepare.path / "catalogue.parquet",
        train_path=prepare.path / "train.parquet",
        config=job.config.sid,
        seed=job.config.seed,
        out=job.out,
    )
