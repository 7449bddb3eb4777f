"""embed: item text to vectors, in shards of even length over Ray workers; texts with a vector in the earlier artifact keep it."""

from pathlib import Path
from typing import Any

import numpy as np

from genrec import tables
from genrec.config import Config
from genrec.store.local import Artifact
from tasks.fingerprint import of_file, of_model
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    reads = config.embed.key_slice()
    if "model" in config.embed.options:
        options = config.embed.options
        reads["options"] = {**options, "model": of_model(options["model"], options.get("revision"))}
        reads["special_tokens"] = "text"  # since a text that spells one is no longer read as one
    if "path" in config.embed.options:  # vectors from a file: its content counts, neither its path nor the items' text
        reads = {"method": config.embed.method, "file": of_file("embed.options.path", config.embed.options["path"])}
    return reads


def _takes_over(config: Config) -> str | None:
    if "vectors" not in config.service.keep or "path" in config.embed.options:
        return None
    return f"max_new_share={config.service.max_new_share}"


@stage("embed", version=2, reads=_reads, takes_over=_takes_over)
def embed(job: Job, prepare: Artifact) -> dict[str, Any]:
    """Encode the text of every item of the catalogue that is not encoded yet."""
    from genrec.embed import reuse
    from genrec.embed.encode import (
        encode_into,
        encode_shard,
        needs_no_text,
        split_texts,
        write_ready_vectors,
        write_vectors,
    )

    catalogue: Path = tables.CATALOGUE_FILE.path(prepare.path)
    config = job.config.embed
    if needs_no_text(config):
        return job.ray_tasks(write_ready_vectors, [{"catalogue_path": catalogue, "config": config, "out": job.out}])[0]
    known: reuse.Reused | str = "not asked for"
    if job.previous:
        before = (job.previous["embed"].path, tables.CATALOGUE_FILE.path(job.previous["prepare"].path))
        known = reuse.known_vectors(catalogue, config, *before, job.config.service.max_new_share)
    reused = None if isinstance(known, str) else known
    shards = split_texts(catalogue, config, config.num_shards, reused)
    calls: list[dict[str, Any]] = [{"texts": texts, "config": config} for texts in shards]
    function: Any = encode_shard
    if reuse.is_fitted(config):
        function = reuse.fit_encoder if reused is None else reuse.fold_in
        place = {"out": job.out} if reused is None else {"encoder": reused.encoder}
        calls = [{**call, **place} for call in calls]
    # In the folder that outlives a killed attempt: the next one encodes what is missing. An encoder that is fitted
    # is saved beside the artifact by its one task, which has to run again.
    texts_of = prepare.digest[:16]  # texts that were prepared anew are others
    files = [job.work / f"vectors-{texts_of}-{i}-of-{len(calls)}.npy" for i in range(len(calls))]
    missing = [i for i, file in enumerate(files) if reuse.is_fitted(config) or not file.is_file()]
    calls = [{**calls[i], "encode": function, "file": files[i]} for i in missing]
    if calls:
        job.ray_tasks(encode_into, calls, reports_progress=True, rows="texts")
    vectors = [np.load(file, mmap_mode="r", allow_pickle=False) for file in files]
    summary = write_vectors(catalogue, config, vectors, job.out, reused)
    if reused is not None:
        reuse.keep_encoder(reused, config, job.out)
    return {**summary, "taken_over": reused is not None, **({"why": known} if job.previous and not reused else {})}
