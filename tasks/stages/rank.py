"""rank: candidates of the generator and of recall channels, and a model that orders them, learned on validation targets."""

from typing import Any

from genrec import tables
from genrec.config import Config
from genrec.store.local import Artifact
from tasks.stage import Job, stage


def _reads(config: Config) -> dict[str, Any]:
    read = ("beam_width", "ks", "seen_items", "confidence", "num_bootstrap", "sample_users")
    options = config.evaluate.channel_options()
    return {
        **config.rank.key_slice(),
        **{name: value for name, value in config.evaluate.key_slice().items() if name in read},
        "options": {name: set_ for name, set_ in options.items() if set_ and config.rank.channels.get(name)},
        "seed": config.seed,
    }


@stage("rank", version=1, reads=_reads)
def rank(job: Job, prepare: Artifact, embed: Artifact, sid: Artifact, base: Artifact, rl: Artifact) -> dict[str, Any]:
    """Fit the channels and the ranker, tune the re-rankers, and make the ranked lists of all test rows.

    The generator is what reinforcement learning returned.
    """
    from genrec.measure.ranked import fit_and_rank

    return job.ray_task(
        fit_and_rank,
        config=job.config,
        prepared=prepare.path,
        vectors=tables.VECTORS_FILE.path(embed.path),
        sids=sid.path,
        base=base.path,
        model=rl.path,
        out=job.out,
    )
