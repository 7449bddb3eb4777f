"""Who asks: the profile of the history, the same for all candidates of a query."""

from collections.abc import Sequence

import numpy as np

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts import profile
from genrec.rank.features.parts.context import Columns, Context


def names(channels: Sequence[str], num_levels: int) -> dict[str, str]:
    """The columns with their meaning and unit."""
    return profile.NAMES | {profile.SEGMENT: "number of the segment of users that the profile is nearest to, from 0"}


def columns(context: Context, candidates: Candidates) -> Columns:
    """float32, a row a candidate."""
    found = profile.profiles(context.tables, context.queries)
    values = np.stack([*found.values()], axis=1)
    found[profile.SEGMENT] = profile.segment(context.tables, values)
    return {name: column[candidates.query] for name, column in found.items()}
