"""Which candidates a ranker learns from: of each list the target, and some of the others."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genrec.rank.samples import Samples

Rule = Literal["all", "uniform", "hard"]
RANK_SUFFIX = "_rank"  # of the features that hold a channel's rank of the candidate, 1 the best


def training_rows(
    samples: Samples, rule: Rule, count: int, seed: int, only_with_target: bool = True
) -> NDArray[np.int64]:
    """The rows to learn from, int64, ascending: every positive, and of each list's other candidates

    - all: every one;
    - uniform: `count` drawn without replacement, each as likely as the others;
    - hard: the `count` that some channel ranks best (the least of the features *_rank of a row; a row of which no channel
      has a rank comes last; of equals, a random one).

    Lists without their target hold nothing that a ranking loss could learn; only_with_target leaves them out.
    """
    positive = samples.label > 0
    lists, number = samples.list_of_row, len(samples.starts) - 1
    chosen = np.ones(len(samples), dtype=bool)
    if rule != "all":
        draw = np.random.default_rng(seed).random(len(samples))
        key = best_rank(samples) if rule == "hard" else np.zeros(len(samples))
        key = np.where(positive, -np.inf, key)  # before the negatives, so that places below count these alone
        order = np.lexsort((draw, key, lists))
        place = np.empty(len(samples), dtype=np.int64)
        place[order] = np.arange(len(samples)) - np.repeat(samples.starts[:-1], np.diff(samples.starts))
        num_positive = np.bincount(lists[positive], minlength=number)
        chosen = place < (num_positive + count)[lists]
    if only_with_target:
        has_target = np.bincount(lists[positive], minlength=number) > 0
        chosen &= has_target[lists]
    return np.flatnonzero(chosen)


def best_rank(samples: Samples) -> NDArray[np.float64]:
    """The best rank that any channel gives each row, float64 [R]; inf where none does."""
    columns = [place for place, name in enumerate(samples.names) if name.endswith(RANK_SUFFIX)]
    ranks = np.nan_to_num(samples.features[:, columns].astype(np.float64), nan=np.inf)
    return ranks.min(axis=1, initial=np.inf)
