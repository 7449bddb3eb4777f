"""Fitting what candidates and their features come from: the channels and the tables, on the training sequences alone."""

import time
from collections.abc import Mapping
from typing import Any

from genrec import variants
from genrec.config.rank import GENERATOR, RankConfig
from genrec.progress import Progress, silent
from genrec.rank.features.parts.profile import with_segments
from genrec.rank.features.parts.tables import fit_tables
from genrec.rank.retrieval import Retrieval
from genrec.recall.parts.scorer import Training

TABLES = "tables"


def fit_retrieval(
    data: Training, config: RankConfig, options: Mapping[str, Mapping[str, Any]], progress: Progress = silent
) -> tuple[Retrieval, dict[str, float]]:
    """The channels of the config, each with its `options` (what is not set has its default), and the feature tables.

    Returns the retrieval and the seconds that each of them took to fit.
    """
    names = [name for name, count in config.channels.items() if count and name != GENERATOR]
    seconds, channels = {}, {}
    for number, name in enumerate(names):
        progress(number, len(names) + 1, f"fits {name}")
        began = time.perf_counter()
        module = variants.load("genrec.recall", name)
        channels[name] = module.fit(data, module.Config(**options.get(name, {})))
        seconds[name] = time.perf_counter() - began
    progress(len(names), len(names) + 1, "counts the tables of the features")
    began = time.perf_counter()
    tables = with_segments(fit_tables(data), data, data.seed)
    seconds[TABLES] = time.perf_counter() - began
    asked = {name for name, count in config.channels.items() if count}
    voters = tuple(name for name in config.voters if name in asked) or None
    counts = {name: count for name, count in config.channels.items() if count}
    return Retrieval(tables, channels, counts, config.max_candidates, voters=voters), seconds
