"""sid: vectors to collision-free semantic ids; known items keep theirs (service.keep: ids) while the codebooks still fit."""

from typing import Any

from genrec import tables
from genrec.config import Config
from genrec.store.local import Artifact
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    return {**config.sid.key_slice(), "seed": config.seed}


def _takes_over(config: Config) -> str | None:
    return "ids" if "ids" in config.service.keep else None


@stage("sid", version=2, reads=_reads, takes_over=_takes_over)
def sid(job: Job, prepare: Artifact, embed: Artifact) -> dict[str, Any]:
    """Give every item its semantic id: from a tokenizer fitted on the item vectors, or from the one in service."""
    from genrec.sid.assign import assign

    inputs = {
        "vectors_path": tables.VECTORS_FILE.path(embed.path),
        "catalogue_path": tables.CATALOGUE_FILE.path(prepare.path),
        "train_path": tables.TRAIN_FILE.path(prepare.path),
        "config": job.config.sid,
    }
    why: dict[str, str] = {}
    if job.previous:
        kept = job.ray_tasks(_keep, [{**inputs, "previous": job.previous, "out": job.out}])[0]
        if not isinstance(kept, str):
            return kept
        why = {"why": kept}
    return {**job.ray_task(assign, **inputs, seed=job.config.seed, out=job.out), **why}


def _keep(previous: dict[str, Artifact], **inputs: Any) -> dict[str, Any] | str:
    """The summary of an artifact with the ids in service, or why there is none."""
    from genrec.sid.daily.keep import CannotKeep, keep_ids

    try:
        return keep_ids(
            **inputs,
            previous=previous["sid"].path,
            previous_catalogue=tables.CATALOGUE_FILE.path(previous["prepare"].path),
            previous_vectors=previous["embed"].path,
        )
    except CannotKeep as reason:
        return str(reason)
