"""Which candidates a ranker learns from: of each list the target, and some of the others."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.rank.samples import Samples

Rule = Literal["all", "uniform", "hard"]
BEST_PLACE = "best_place"  # the best place that any channel has an item at: a feature of genrec/rank/features/channels


def training_rows(
    samples: Samples, rule: Rule, count: int, seed: int, only_with_target: bool = True
) -> NDArray[np.int64]:
    """The rows to learn from, int64, ascending:

    - all: every one;
    - uniform: every positive, and `count` of each list's others drawn without replacement, each as likely;
    - hard: the `count` rows of each list that some channel ranks best, a positive like the others (by the feature
      best_place; a row without it comes last; of equals, a random one). A positive further behind is left out with the
      rest: beside negatives that are all ranked well, a poor rank would mean positive.

    Lists without a positive hold nothing that a ranking loss could learn; only_with_target leaves them out.
    """
    positive = samples.label > 0
    lists, number = samples.list_of_row, len(samples.starts) - 1
    chosen = np.ones(len(samples), dtype=bool)
    if rule != "all":
        draw = np.random.default_rng(seed).random(len(samples))
        if rule == "hard":
            key, extra = best_place(samples), np.zeros(number, dtype=np.int64)
        else:  # positives stand first, and do not count
            key, extra = np.where(positive, -1.0, 0.0), np.bincount(lists[positive], minlength=number)
        order = np.lexsort((draw, key, lists))
        place = np.empty(len(samples), dtype=np.int64)
        place[order] = np.arange(len(samples)) - np.repeat(samples.starts[:-1], np.diff(samples.starts))
        chosen = place < (extra + count)[lists]
    if only_with_target:
        has_target = np.bincount(lists[positive & chosen], minlength=number) > 0
        chosen &= has_target[lists]
    return np.flatnonzero(chosen)


def best_place(samples: Samples) -> NDArray[np.float64]:
    """The best place that any channel has each row at, float64 [R]; inf where it is missing.

    Raises DataError for samples without this feature.
    """
    if BEST_PLACE not in samples.names:
        raise DataError(
            f"rank.negatives.rule hard: the candidates have no feature {BEST_PLACE}; choose uniform, or make them anew"
        )
    column = samples.features[:, samples.names.index(BEST_PLACE)]
    return np.nan_to_num(column.astype(np.float64), nan=np.inf)
