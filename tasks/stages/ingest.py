"""ingest: raw files to interactions, items and a quarantine of what could not be used; a Ray task some shards."""

from typing import Any

from genrec.config import Config
from genrec.data.event_rows import cut_of_slice, cut_to_read, slice_of_cut
from genrec.data.expectations import check_expectations
from genrec.data.ingest import fingerprint, plan, read_shards
from genrec.data.merge import merge
from genrec.data.part_files import in_groups, is_read, plan_name
from genrec.data.shards import shard_bytes
from genrec.store.local import Artifact
from tasks.contract import check_contract
from tasks.ray.watch import watcher
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    reads = config.data.key_slice()
    for place in ("path", "events", "events_until"):
        del reads[place]  # what was read counts, not where it lies
    files = fingerprint(config.data)
    if {"damaged_files", "max_damaged_files"}.isdisjoint(reads) and len(files) * config.data.max_damaged_files >= 1:
        reads["damaged_files"] = config.data.damaged_files  # fewer files were always read up to the damage
    return {**reads, "files": files, **slice_of_cut(cut_to_read(config.data))}


def _accepts(config: Config, artifact: Artifact) -> None:
    check_expectations(config.data.expectations, artifact.path, artifact.summary)


@stage("ingest", version=4, reads=_reads, accepts=_accepts)
def ingest(job: Job) -> dict[str, Any]:
    """Read and check the source, setting bad rows aside with their reason."""
    config = job.config.data
    source = job.out / "source"  # where the synthetic shop writes its files; kept beside what was read from them
    # The events that the key stands for, however many came since.
    cut = cut_of_slice(job.reads)
    with job.scratch() as exported:
        call = {"config": config, "folder": source, "cut": cut, "log_folder": exported}
        shards = job.ray_tasks(plan, [call])[0]
        # In the folder that outlives a killed attempt: the next one reads what is missing.
        parts = job.work / f"parts-{plan_name(shards)}"
        missing = [shard for shard in shards if not is_read(shard, parts)]
        if len(missing) < len(shards):
            watcher().message(
                f"ingest: {len(shards) - len(missing)} of {len(shards)} shards were read by an earlier attempt"
            )
        groups = in_groups(missing)
        calls = [{"shards": group, "config": config, "out": parts} for group in groups]
        sizes = [float(sum(map(shard_bytes, group))) for group in groups]
        if calls:
            job.ray_tasks(read_shards, calls, reports_progress=True, rows="files", sizes=sizes)
        summary = job.ray_tasks(merge, [{"parts": parts, "config": config, "out": job.out}])[0]
    job.ray_tasks(check_contract, [{"stage": "ingest", "folder": job.out}])
    return summary
