"""How much a list counts in training: by the kind of its event, its age, and how likely its target was to be seen."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from genrec.rank.samples import Samples

DAY_MS = 24 * 3600 * 1000


def list_weights(
    event: NDArray[np.str_],
    events: Mapping[str, float],
    *,
    timestamp: NDArray[np.int64] | None = None,
    half_life_days: float | None = None,
    inverse_propensity: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """The weight of each list, float32 [L], with mean 1 so that no learning rate depends on the unit.

    event [L]: the kind of the event that came next, weighted by `events` (a kind that is not there: 1).
    timestamp int64 [L], in milliseconds: a list `half_life_days` older than the newest counts half.
    inverse_propensity float64 [L]: of `genrec.rank.propensity`.
    """
    weight = np.array([events.get(kind, 1.0) for kind in event.tolist()], dtype=np.float64)
    if timestamp is not None and half_life_days is not None and len(timestamp):
        weight = weight * 0.5 ** ((timestamp.max() - timestamp) / DAY_MS / half_life_days)
    if inverse_propensity is not None:
        weight = weight * inverse_propensity
    mean = weight.mean() if len(weight) else 0.0
    return (weight / mean if mean > 0 else np.ones_like(weight)).astype(np.float32)


def weighted(samples: Samples, weight: NDArray[np.float32]) -> Samples:
    """The samples with the weights of their lists, float32 [L], in the order of `samples.queries`.

    The whole list has its target's weight: ranking losses compare the target with the others of its list.
    """
    return samples.with_weight(weight[samples.list_of_row])
