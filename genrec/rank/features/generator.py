"""What the generator knows of a candidate: the steps of its search, and its dense head."""

from collections.abc import Sequence

import numpy as np

from genrec.rank.candidates import Candidates
from genrec.rank.features.channels import share
from genrec.rank.features.parts.context import Columns, Context

_UNLESS_FOUND = "; missing unless the search found the item"


def names(channels: Sequence[str], num_levels: int) -> dict[str, str]:
    """The columns with their meaning and unit; none without a generator."""
    if not num_levels:
        return {}
    levels = range(1, num_levels + 1)
    return {
        **{
            f"beam_level_{i}": f"log-probability of the id's code {i} in the search, nats{_UNLESS_FOUND * (i > 1)}"
            for i in levels
        },
        **{f"dense_level_{i}": f"log-probability of the id's code {i} by the dense head, nats" for i in levels},
        "dense": "log-probability of the item by the dense head, nats",
        "dense_share": "dense, from 0 for the lowest of the query's candidates to 1 for the highest",
        "beam_gain": "log-probability in the search less that by the dense head, nats",
    }


def columns(context: Context, candidates: Candidates) -> Columns:
    """float32, a row a candidate."""
    levels = context.num_levels
    if not levels:
        return {}
    missing = np.full((len(candidates), levels), np.nan, dtype=np.float32)
    steps, dense = (missing, missing) if context.beams is None else (context.beams.steps, context.beams.dense)
    total = dense.sum(axis=1)
    found = {f"beam_level_{i + 1}": steps[:, i] for i in range(levels)}
    found |= {f"dense_level_{i + 1}": dense[:, i] for i in range(levels)}
    found |= {"dense": total, "dense_share": share(total, candidates), "beam_gain": steps.sum(axis=1) - total}
    return found
