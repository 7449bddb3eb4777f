"""How often a candidate is bought, in all of the training and shortly before the moment."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Columns, Context, empty
from genrec.rank.features.parts.tables import Tables

_DAY_MS = 86_400_000

_NAMES = {
    "popularity": "log(1 + training events of the item)",
    "catalogue_position": "share of the catalogue with fewer training events, 0..1",
    "is_head": "1 for the fifth of the catalogue with the most training events, else 0",
    "popularity_over_history": "popularity less its mean over the history, in log units",
    "events_30_days": "log(1 + training events of the item in the 30 days before the moment)",
    "events_90_days": "log(1 + training events of the item in the 90 days before the moment)",
    "trend": "log ratio of the events of the last 30 days to a third of those of the last 90, one added to both",
}


def names(channels: Sequence[str], num_levels: int) -> dict[str, str]:
    """The columns with their meaning and unit."""
    return _NAMES


def columns(context: Context, candidates: Candidates) -> Columns:
    """float32, a row a candidate; the last three are missing where timestamps are no times."""
    tables, usual_of = context.tables, "popularity_over_history"
    found = context.of_items(candidates, _of_items) | empty(candidates, [usual_of])
    for block in context.blocks(candidates):
        if block.history.shape[1]:
            usual = _mean(tables.log_counts[block.history])
            block.put(found[usual_of], tables.log_counts[block.items] - usual)
    return found


def _of_items(tables: Tables, rows: NDArray[np.int64], now: NDArray[np.int64] | None) -> Columns:
    known = rows < tables.num_items
    missing = np.full(len(rows), np.nan, dtype=np.float32)
    found = {
        "popularity": tables.log_counts[rows],
        "catalogue_position": tables.popularity_rank[rows],
        "is_head": np.where(known, tables.is_head[rows], np.nan).astype(np.float32),
        **dict.fromkeys(("events_30_days", "events_90_days", "trend"), missing),
    }
    if tables.has_times and now is not None:
        until = tables.num_before(rows, now)
        month, quarter = (until - tables.num_before(rows, now - days * _DAY_MS) for days in (30, 90))
        found["events_30_days"] = np.where(known, np.log1p(month), np.nan).astype(np.float32)
        found["events_90_days"] = np.where(known, np.log1p(quarter), np.nan).astype(np.float32)
        found["trend"] = np.where(known, np.log((month + 1) / (quarter / 3 + 1)), np.nan).astype(np.float32)
    return found


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [u, 1] of [u, H], what is missing left out; 0 where all is: of unknown items alone nothing is usual."""
    known = ~np.isnan(values)
    count = known.sum(axis=1, keepdims=True)
    return (np.where(known, values, 0).sum(axis=1, keepdims=True) / np.maximum(count, 1)).astype(np.float32)
