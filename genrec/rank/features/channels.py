"""What each channel says of a candidate, and how much they agree."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Columns, Context

_RRF = 60


def names(channels: Sequence[str], num_levels: int) -> dict[str, str]:
    """The columns with their meaning and unit."""
    of_channels: dict[str, str] = {}
    for channel in channels:
        of_channels |= {
            f"{channel}_score": f"score by {channel}, in its own unit; missing without a signal",
            f"{channel}_rank": f"place in the list of {channel}, from 1; missing where it is not listed",
            f"{channel}_share": f"score by {channel}, from 0 for the lowest of the query's candidates to 1 for the highest",
        }
    return {
        **of_channels,
        "num_channels": "channels that list the item, count",
        "best_place": "best place in a channel's list, from 1",
        "fused": "reciprocal rank fusion: sum over channels of 1 / (60 + place from 1)",
    }


def columns(context: Context, candidates: Candidates) -> Columns:
    """float32, a row a candidate."""
    found, listed = {}, candidates.ranks >= 0
    ranks = np.where(listed, candidates.ranks + np.float32(1), np.float32(np.nan))
    shares = share(candidates.scores, candidates)
    for place, channel in enumerate(candidates.channels):
        found[f"{channel}_score"] = candidates.scores[:, place]
        found[f"{channel}_rank"] = ranks[:, place]
        found[f"{channel}_share"] = shares[:, place]
    found["num_channels"] = listed.sum(axis=1).astype(np.float32)
    found["best_place"] = np.fmin.reduce(ranks, axis=1, initial=np.float32(np.nan))
    found["fused"] = np.ascontiguousarray(np.where(listed, 1 / (_RRF + ranks), np.float32(0))).sum(axis=1)
    return found


def share(values: NDArray[np.float32], candidates: Candidates) -> NDArray[np.float32]:
    """float32, as `values` [R] or [R, C]: 0 for the lowest of a column among the query's candidates, 1 for the highest; NaN
    where it is missing.

    A value alone, or equal to all others, is the highest.
    """
    if not len(values):
        return values
    if candidates.num_queries == 1:
        low, high = (edge.reduce(values, axis=0, keepdims=True) for edge in (np.fmin, np.fmax))
    else:
        starts = np.unique(candidates.starts[:-1][np.diff(candidates.starts) > 0])
        sizes = np.diff(np.append(starts, len(values)))
        low, high = (np.repeat(edge.reduceat(values, starts), sizes, axis=0) for edge in (np.fmin, np.fmax))
    spread = high - low
    varies = spread > 0
    return np.where(varies, (values - low) / np.where(varies, spread, 1), values * 0 + 1).astype(np.float32, copy=False)
