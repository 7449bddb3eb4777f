"""rl: reinforcement learning on the SFT model, candidates from Ray actors."""

from typing import Any

from genrec import tables
from genrec.config import Config
from genrec.store.local import Artifact
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    return {**config.rl.key_slice(), "seed": config.seed}


@stage("rl", version=4, reads=_reads)
def rl(job: Job, prepare: Artifact, sid: Artifact, base: Artifact, sft: Artifact) -> dict[str, Any]:
    """Sharpen the ranking with rewards; returns the SFT model where no checkpoint passes the gate on validation."""
    from tasks.ray.parallel import train
    from tasks.ray.rollouts import train_with_rollouts

    call = {
        "config": job.config,
        "prepared": prepare.path,
        "sids": tables.SIDS_FILE.path(sid.path),
        "sft": sft.path,
        "base": base.path,
        "work": job.work,
        "out": job.out,
    }
    return train("rl", train_with_rollouts, call, job.config.rl.num_learners, job.config, job.work)
