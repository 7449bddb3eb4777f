"""The order that scores put candidates in, list by list."""

import numpy as np
from numpy.typing import NDArray

from genrec.metrics import ndcg
from genrec.rank.samples import Samples


def best_first(samples: Samples, scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """The rows, list by list, each best first: int64 [R]. Equal scores keep the order in which the candidates came."""
    return np.lexsort((-scores.astype(np.float64), samples.list_of_row))


def places(samples: Samples, scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """The place of each row in its list, int64 [R], 0 the best."""
    starts = samples.starts
    found = np.empty(len(samples), dtype=np.int64)
    found[best_first(samples, scores)] = np.arange(len(samples)) - np.repeat(starts[:-1], np.diff(starts))
    return found


def first_hit(samples: Samples, scores: NDArray[np.floating], label: NDArray[np.float32]) -> NDArray[np.int64]:
    """The best place of a positive in each list, int64 [L], -1 where the list has none."""
    number = len(samples.starts) - 1
    best = np.full(number, np.iinfo(np.int64).max)
    positive = label > 0
    np.minimum.at(best, samples.list_of_row[positive], places(samples, scores)[positive])
    return np.where(best == np.iinfo(np.int64).max, -1, best)


def mean_ndcg(samples: Samples, scores: NDArray[np.floating], label: NDArray[np.float32], k: int = 10) -> float:
    """NDCG@k of the first positive, the mean over lists that have one; 0 without any."""
    found = first_hit(samples, scores, label)
    return float(ndcg(found[found >= 0], k).mean()) if (found >= 0).any() else 0.0
