"""ingest: raw files to interactions, items and a quarantine of what could not be used; one Ray task a shard."""

from typing import Any

from genrec.config import Config
from genrec.data.ingest import fingerprint, merge, plan, read_shard
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    reads = config.data.key_slice()
    del reads["path"]  # the files' content counts, not where they lie
    return {**reads, "files": fingerprint(config.data)}


@stage("ingest", version=3, reads=_reads)
def ingest(job: Job) -> dict[str, Any]:
    """Read and check the source, setting bad rows aside with their reason."""
    config = job.config.data
    source = job.out / "source"  # where the synthetic shop writes its files; kept beside what was read from them
    shards = job.ray_tasks(plan, [{"config": config, "folder": source}])[0]
    with job.scratch() as parts:
        calls = [{"shard": shard, "config": config, "out": parts} for shard in shards]
        job.ray_tasks(read_shard, calls, reports_progress=True, rows="files")
        return job.ray_tasks(merge, [{"parts": parts, "config": config, "out": job.out}])[0]
