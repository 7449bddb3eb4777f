"""Figures of a ranking by segment of users (genrec/rank/features/parts/profile.py)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.rank.figures import by_segment
from genrec.rank.samples import Samples

SEGMENT, EVENTS, HEAD_SHARE = "user_segment", "user_events", "user_head_share"  # features
_FIGURES = ("hr@10", "ndcg@10")


def by_user_segment(samples: Samples, orders: Mapping[str, NDArray[np.floating]]) -> list[dict[str, Any]]:
    """A row a segment, the one with the most lists first: {segment, lists, events (mean of their histories), head_share
    (mean, None where it is not known), each order: {hr@10, ndcg@10}}. Lists without a segment are left out; nothing where
    segments are no feature.

    orders: scores [R] by name.
    """
    if SEGMENT not in samples.names:
        return []
    first = samples.features[samples.starts[:-1]]
    column = {name: first[:, place] for place, name in enumerate(samples.names)}
    known = ~np.isnan(column[SEGMENT])
    kept = known[samples.list_of_row]
    lists, segment = samples.take(kept), column[SEGMENT][known].astype(np.int64)
    figures = {name: by_segment(lists, scores[kept], segment, ks=(10,)) for name, scores in orders.items()}
    rows = []
    for number in np.unique(segment).tolist():
        of = known & (column[SEGMENT] == number)
        facts = {"segment": number, "lists": int(of.sum())}
        facts |= {"events": _mean(np.expm1(column[EVENTS][of]))} if EVENTS in column else {}
        facts |= {"head_share": _mean(column[HEAD_SHARE][of])} if HEAD_SHARE in column else {}
        by_order = {name: {key: found[str(number)][key] for key in _FIGURES} for name, found in figures.items()}
        rows.append({**facts, **by_order})
    return sorted(rows, key=lambda row: -row["lists"])


def _mean(values: NDArray[np.floating]) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 4) if len(known) else None
