"""embed: item text to vectors, in shards of even length over Ray workers."""

from pathlib import Path
from typing import Any

from genrec.config import Config
from genrec.store import Artifact
from tasks.fingerprint import of_file, of_model
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    reads = config.embed.key_slice()
    if "model" in config.embed.options:
        options = config.embed.options
        reads["options"] = {**options, "model": of_model(options["model"], options.get("revision"))}
    if "path" in config.embed.options:  # ready-made vectors: the file's content counts, neither its place nor the text
        reads = {"method": config.embed.method, "file": of_file(config.embed.options["path"])}
    return reads


@stage("embed", version=1, reads=_reads)
def embed(job: Job, prepare: Artifact) -> dict[str, Any]:
    """Encode the text of every item of the catalogue."""
    from genrec.embed.stage import encode_shard, needs_no_text, split_texts, write_ready_vectors, write_vectors

    catalogue: Path = prepare.path / "catalogue.parquet"
    config = job.config.embed
    if needs_no_text(config):
        return job.ray_tasks(write_ready_vectors, [{"catalogue_path": catalogue, "config": config, "out": job.out}])[0]
    shards = split_texts(catalogue, config, config.num_shards)
    calls = [{"texts": texts, "config": config} for texts in shards]
    vectors = job.ray_tasks(encode_shard, calls, reports_progress=True)
    return write_vectors(catalogue, config, vectors, job.out)
