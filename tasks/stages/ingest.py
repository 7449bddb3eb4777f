"""ingest: raw files to interactions, items and a quarantine of what could not be used; one Ray task a shard."""

from typing import Any

from genrec.config import Config
from genrec.data.event_rows import cut_of_slice, cut_to_read, slice_of_cut
from genrec.data.expectations import check_expectations
from genrec.data.ingest import fingerprint, merge, plan, read_shard
from genrec.store.local import Artifact
from tasks.contract import check_contract
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    reads = config.data.key_slice()
    for place in ("path", "events", "events_until"):
        del reads[place]  # what was read counts, not where it lies
    return {**reads, "files": fingerprint(config.data), **slice_of_cut(cut_to_read(config.data))}


def _accepts(config: Config, artifact: Artifact) -> None:
    check_expectations(config.data.expectations, artifact.path, artifact.summary)


@stage("ingest", version=3, reads=_reads, accepts=_accepts)
def ingest(job: Job) -> dict[str, Any]:
    """Read and check the source, setting bad rows aside with their reason."""
    config = job.config.data
    source = job.out / "source"  # where the synthetic shop writes its files; kept beside what was read from them
    # The events that the key stands for, however many came since.
    cut = cut_of_slice(job.reads)
    with job.scratch() as parts, job.scratch() as exported:
        call = {"config": config, "folder": source, "cut": cut, "log_folder": exported}
        shards = job.ray_tasks(plan, [call])[0]
        calls = [{"shard": shard, "config": config, "out": parts} for shard in shards]
        job.ray_tasks(read_shard, calls, reports_progress=True, rows="files")
        summary = job.ray_tasks(merge, [{"parts": parts, "config": config, "out": job.out}])[0]
    job.ray_tasks(check_contract, [{"stage": "ingest", "folder": job.out}])
    return summary
