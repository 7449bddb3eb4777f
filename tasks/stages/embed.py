"""embed: item text to vectors, in pieces over Ray workers; texts with a vector in the earlier artifact keep it."""

from pathlib import Path
from typing import Any

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
    from genrec.embed import encode, reuse
    from genrec.embed.plan import Plan, Previous, is_whole, plan_texts

    catalogue: Path = tables.CATALOGUE_FILE.path(prepare.path)
    config = job.config.embed
    common: dict[str, Any] = {"catalogue_path": catalogue, "config": config}
    if encode.needs_no_text(config):
        return job.ray_tasks(encode.write_ready_vectors, [{**common, "out": job.out}])[0]
    previous = None
    if job.previous:
        previous = Previous(job.previous["embed"].path, tables.CATALOGUE_FILE.path(job.previous["prepare"].path))
    # In the folder that outlives a killed attempt: the next one encodes what is missing. Texts that were prepared anew are
    # others.
    name = prepare.digest[:16]
    planning = {"work": job.work, "name": name, "previous": previous, "max_new_share": job.config.service.max_new_share}
    plan: Plan = job.ray_tasks(plan_texts, [{**common, **planning}])[0]
    common["plan"] = plan
    encoder = plan.encoder
    if encoder is None and plan.pieces and is_whole(config, plan.num_new):
        # What it fits is saved beside the artifact, which a killed attempt has lost.
        job.ray_tasks(encode.fit_all, [{**common, "out": job.out}], reports_progress=True, rows="texts")
    elif encoder is None and reuse.is_fitted(config):
        encoder = job.work / f"encoder-{name}"
        if not (encoder / reuse.HISTORY_FILE).is_file():
            job.ray_task(encode.fit_sample, **common, out=encoder)
    missing = [pieces for shard in plan.shards if (pieces := [p for p in shard if not p.file.is_file()])]
    if missing:
        calls = [{**common, "pieces": pieces, "encoder": encoder} for pieces in missing]
        job.ray_tasks(encode.encode_pieces, calls, reports_progress=True, rows="texts")
    summary = job.ray_tasks(encode.write_vectors, [{"plan": plan, "config": config, "out": job.out}])[0]
    if encoder is not None:
        reuse.keep_encoder(encoder, 0 if plan.encoder is None else plan.num_new, config, job.out)
    return {**summary, "taken_over": plan.vectors is not None, **({"why": plan.why} if plan.why else {})}
