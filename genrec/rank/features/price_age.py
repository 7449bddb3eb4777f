"""Price and age of a candidate, where they are known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Columns, Context, empty
from genrec.rank.features.parts.tables import Tables, days

_NAMES = {
    "price": "log of the price in the shop's currency",
    "price_over_history": "price less its mean over the history, in log units",
    "price_position": "share of the priced items of the category that are cheaper, 0..1",
    "age_days": "days from the item's first training event to the moment",
    "idle_days": "days from the item's last training event before the moment to the moment",
}


def names(channels: Sequence[str], num_levels: int) -> dict[str, str]:
    """The columns with their meaning and unit."""
    return _NAMES


def columns(context: Context, candidates: Candidates) -> Columns:
    """float32, a row a candidate; missing without a price, without times, or before the item's first event."""
    tables, usual_of = context.tables, "price_over_history"
    found = context.of_items(candidates, _of_items) | empty(candidates, [usual_of])
    if tables.has_prices:
        for block in context.blocks(candidates):
            of_history = tables.prices[block.history]
            priced = ~np.isnan(of_history)
            number = priced.sum(axis=1, keepdims=True)
            mean = np.where(priced, of_history, 0).sum(axis=1, keepdims=True) / np.maximum(number, 1)
            block.put(found[usual_of], np.where(number > 0, tables.prices[block.items] - mean, np.nan))
    return found


def _of_items(tables: Tables, rows: NDArray[np.int64], now: NDArray[np.int64] | None) -> Columns:
    missing = np.full(len(rows), np.nan, dtype=np.float32)
    found = {
        "price": tables.prices[rows],
        "price_position": tables.price_rank[rows],
        **dict.fromkeys(("age_days", "idle_days"), missing),
    }
    if tables.has_times and now is not None:
        number, oldest, newest = tables.events_before(rows, now)
        found["age_days"] = np.where(number > 0, days(now - oldest), np.float32(np.nan))
        found["idle_days"] = np.where(number > 0, days(now - newest), np.float32(np.nan))
    return found
