"""prepare: filter, de-duplicate, k-core, integer ids; then sequences and split, a Ray task a slice of the users."""

from typing import Any

from genrec.config import Config
from genrec.data.index import index
from genrec.data.prepare import build_shard, merge_shards
from genrec.store.local import Artifact
from tasks.contract import check_contract
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    return config.prepare.key_slice()


@stage("prepare", version=2, reads=_reads)
def prepare(job: Job, ingest: Artifact) -> dict[str, Any]:
    """Turn events into training sequences, validation and test rows."""
    config = job.config.prepare
    with job.scratch() as folder:
        indexed, parts = folder / "indexed", folder / "parts"
        job.ray_tasks(index, [{"ingest": ingest.path, "config": config, "out": indexed}])
        slices = [
            {"indexed": indexed, "shard": i, "num_shards": config.num_shards, "out": parts}
            for i in range(config.num_shards)
        ]
        job.ray_tasks(build_shard, slices, rows="users")
        summary = job.ray_tasks(merge_shards, [{"indexed": indexed, "parts": parts, "out": job.out}])[0]
    job.ray_tasks(check_contract, [{"stage": "prepare", "folder": job.out}])
    return summary
