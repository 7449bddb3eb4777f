"""The channels that are asked for a request: each takes a part of a millisecond, and some tell the ranker next to nothing."""

import dataclasses
from collections.abc import Mapping

from genrec.rank.features.channels import names
from genrec.rank.retrieval import Retrieval

LEAST_IMPORTANCE = 0.01  # share of what all features do for the ranker


def worth_asking(retrieval: Retrieval, importance: Mapping[str, float]) -> Retrieval:
    """The retrieval without the channels that make no candidates (`rank.voters`) and whose own features have less than
    `LEAST_IMPORTANCE` together; these are missing then, as they are for an item that a channel does not list.

    Features over all channels (their number, the best place, the fusion) change with every channel that is left out, so
    their importance counts with that of each. Nothing is left out where all channels make candidates, or where the ranker
    tells no importance.
    """
    if retrieval.voters is None or not importance:
        return retrieval
    shared = sum(importance.get(name, 0.0) for name in names((), 0))
    kept = {
        name: channel
        for name, channel in retrieval.channels.items()
        if name in retrieval.voters or _importance(name, importance) + shared >= LEAST_IMPORTANCE
    }
    return dataclasses.replace(retrieval, channels=kept)


def _importance(channel: str, importance: Mapping[str, float]) -> float:
    own = names((channel,), 0).keys() - names((), 0).keys()
    return sum(importance.get(name, 0.0) for name in own)
