"""What each group of features adds: the ranking is fitted again without it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genrec.config.rank import RankConfig
from genrec.progress import Progress, silent
from genrec.rank.folds import fold_of
from genrec.rank.ranking import fit_by_folds, gain
from genrec.rank.samples import Samples


def without_each(
    samples: Samples,
    groups: Mapping[str, tuple[str, ...]],
    config: RankConfig,
    seed: int,
    *,
    confidence: float,
    folds: Sequence[int] = (0,),
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """A row a group of features: {group, features, gain (`ranking.gain` of all features over all but these), seconds}.

    Fitted for `folds` alone and judged on their users, twice as many fits for twice as many folds. The group that adds
    most stands first.
    """
    wanted = np.isin(fold_of(samples.user, config.num_folds, seed), folds)
    judged = samples.take(wanted)

    def scores(part: Samples) -> Any:
        return fit_by_folds(part, config, seed, only=folds).scores(part.take(wanted))

    whole = scores(samples)
    rows = []
    for done, (group, names) in enumerate(groups.items()):
        progress(done, len(groups), f"without {group}")
        began = time.perf_counter()
        rest = scores(samples.without(names))
        seconds = time.perf_counter() - began
        added = gain(judged, whole, rest, confidence)
        rows.append({"group": group, "features": len(names), "gain": added, "seconds": seconds})
    return sorted(rows, key=lambda row: -row["gain"]["difference"])
