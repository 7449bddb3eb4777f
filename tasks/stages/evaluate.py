"""evaluate: constrained beam search of the trained models, measured beside the baselines on the same test rows."""

from typing import Any

from genrec.config import Config
from genrec.store.local import Artifact
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    return config.evaluate.key_slice()


@stage("evaluate", version=4, reads=_reads)
def evaluate(
    job: Job,
    prepare: Artifact,
    sid: Artifact,
    base: Artifact,
    sft: Artifact,
    rl: Artifact,
    baselines: Artifact,
    rank: Artifact | None = None,
) -> dict[str, Any]:
    """Rank the full catalogue for every test row and measure HR, NDCG, slices, coverage and intervals.

    Where reinforcement learning returned the sft model, that is not decoded a second time.
    """
    from genrec.measure.decoding import decode_shard
    from genrec.measure.evaluation import merge
    from genrec.measure.predictions import LISTS
    from genrec.measure.rows import shards
    from genrec.measure.score_parts import MEASURED

    config = job.config.evaluate
    common = {"prepared": prepare.path, "config": config}
    identical = {} if rl.summary["improved"] else {"rl": "sft"}
    with job.scratch() as parts:
        calls = [
            {
                **common,
                "parts": parts,
                "sids": sid.path,
                "model": model.path,
                "base": base.path,
                "name": name,
                "alone": MEASURED[name],
                "bounds": b,
            }
            for name, model in (("sft", sft), ("rl", rl))
            if name not in identical
            for b in shards(prepare.path, config.num_shards, "test", config.sample_users)
        ]
        job.ray_tasks(decode_shard, calls, reports_progress=True)
        merging = {**common, "parts": parts, "baselines": baselines.path, "identical": identical, "out": job.out}
        if (
            rank is not None and (lists := rank.path / LISTS).is_dir()
        ):  # there is none where no list could be learned from
            merging["ranked"] = lists
        return job.ray_tasks(merge, [merging])[0]
