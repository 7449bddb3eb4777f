"""base: the language model to start from, with tokens for semantic ids."""

from typing import Any

from genrec import tables
from genrec.config import Config
from genrec.store.local import Artifact
from tasks.fingerprint import of_model
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    reads = config.base.key_slice()
    if config.base.model != "scratch":  # the shape of a scratch model does not matter then, nor does the seed of it
        reads = {"model": of_model(config.base.model, config.base.revision), "vocabulary": "padded"}
        reads["first_token"] = "of the model"  # an Instruct model's tokenizer ends turns with its EOS
    return {**reads, "num_levels": config.sid.total_levels, "num_codes": config.sid.num_codes, "seed": config.seed}


@stage("base", version=1, reads=_reads)
def base(job: Job, prepare: Artifact) -> dict[str, Any]:
    """Build or fetch the base model and add the semantic-id tokens."""
    from genrec.train.base import build_base

    return job.ray_task(
        build_base,
        config=job.config.base,
        num_levels=job.config.sid.total_levels,
        num_codes=job.config.sid.num_codes,
        catalogue=tables.CATALOGUE_FILE.path(prepare.path),
        seed=job.config.seed,
        out=job.out,
    )
