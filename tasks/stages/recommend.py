"""recommend: lists for every customer by one model, a Ray task a shard of users; a finished shard is never searched again."""

import time
from collections.abc import Mapping
from typing import Any

from genrec.config import Config
from genrec.store.local import Artifact
from tasks.fingerprint import of_file
from tasks.ray.watch import watcher
from tasks.stage import Job, stage

MODEL = (
    "prepare",
    "embed",
    "sid",
    "base",
    "rl",
)  # the stages that make a model; the events may be those of another run


RANK = "rank"


def ranked_by(config: Config, artifacts: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """The rank artifact as an input of the stage; none where lists are not to be ranked, or by none that is of use.

    A warning says where they were to be.
    """
    if not config.service.rank:
        return {}
    found = artifacts.get(RANK)
    if found is not None and found.summary["use"]:
        return {RANK: found}
    why = "the run of the model has no stage rank" if found is None else "validation saw no gain by its ranking"
    watcher().message(f"recommend: service.rank is set, but {why}; the lists are the generator's")
    return {}


def _reads(config: Config) -> dict[str, Any]:
    reads = config.recommend.key_slice()
    for setting, file in config.recommend.files().items():  # their content counts, not where they lie
        reads[setting.removeprefix("recommend.")] = of_file(setting, file)
    history = {name: getattr(config.prepare, name) for name in ("events", "min_rating", "dedupe")}
    return {**reads, "history": history, "precision": config.evaluate.precision}


@stage("recommend", version=1, reads=_reads)
def recommend(
    job: Job,
    ingest: Artifact,
    prepare: Artifact,
    embed: Artifact,
    sid: Artifact,
    base: Artifact,
    rl: Artifact,
    rank: Artifact | None = None,
) -> dict[str, Any]:
    """Make the lists of all users, or of those in a file, from their whole histories: the newest event included.

    With `rank` they are in the order of its model.
    """
    from genrec.serve.batch.collect import collect
    from genrec.serve.batch.plan import make_plan
    from genrec.serve.batch.shard import Model, finished, recommend_shard

    config = job.config.recommend
    planned = {"ingest": ingest.path, "prepared": prepare.path, "events": ingest.summary["events"], "config": config}
    plan = job.ray_tasks(make_plan, [{**planned, "work": job.work}])[0]
    left = [shard for shard in range(len(plan.shards)) if finished(job.work, shard) is None]
    taken_over = len(plan.shards) - len(left)
    if taken_over:
        watcher().message(f"recommend: {taken_over} of {len(plan.shards)} shards were finished before")
    common = {
        "ingest": ingest.path,
        "model": Model(
            rl.key, prepare.path, embed.path, sid.path, base.path, rl.path, None if rank is None else rank.path
        ),
        "prepare": job.config.prepare,
        "config": config,
        "precision": job.config.evaluate.precision,
        "plan": plan,
        "work": job.work,
    }
    began = time.perf_counter()
    searched = sum(job.ray_tasks(recommend_shard, [{**common, "shard": shard} for shard in left]) if left else [])
    seconds = time.perf_counter() - began
    summary = collect(plan, job.work, job.out)
    return {
        **summary,
        "shards_taken_over": taken_over,
        "seconds": round(seconds, 2),
        "users_per_s": round(searched / seconds, 1) if left else 0.0,
    }
