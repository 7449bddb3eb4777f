"""How likely a position is to be looked at, from logged impressions, and the weight of a click that follows from it.

What is shown high is clicked more, whatever it is. Under the position-based model (Richardson et al., WWW 2007; Joachims,
Swaminathan and Schnabel, WSDM 2017, section 4) a click needs that the position is looked at, with the propensity p_k, and
that the item is wanted. A click at position k weighs 1 / max(p_k, clip) (clipped inverse propensity): the sum of the
weighted clicks then is what users would click if they looked everywhere, up to what the clip leaves out.

Propensities are estimated by harvested interventions, the adjacent chain (Agarwal et al., "Estimating position bias without
intrusive interventions", WSDM 2019, section 4.2): of the pairs of user and item that were shown at position k and at k + 1,
be it by the two arms of an experiment, by interleaving or by another model later, p_{k+1} / p_k is the ratio of the click
rates there; the pairs are the same, so what is wanted cancels out. Ratios are drawn, with the weight of PRIOR_CLICKS, to
the ratio of the plain click rates by position, and held at 1 or below; p_0 is 1. Where no pair was shown at two
positions the plain click rates alone remain, which take what a good model puts first for a bias of the position: weights
are too large then, and the clip bounds them.
"""

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

PRIOR_CLICKS = 10.0  # of a ratio
PRIOR_ROWS = 50.0  # of a plain click rate: its predecessor's rate counts as so many impressions
HOUR_MS = 3600 * 1000


def shown(impressions: pa.Table | pl.DataFrame, clicks: pl.DataFrame, window_hours: float = 24.0) -> pl.DataFrame:
    """A row an item shown: user_id, item_id, position (0 the first), shown_at (ms), clicked (bool).

    impressions: user_id, shown_at, items (as an experiment logs them). clicks: user_id, item_id, received_at (ms). A click
    is credited to the last time that this item was shown to this user, at most `window_hours` before.
    """
    lists = pl.DataFrame(impressions).select("user_id", "shown_at", "items")
    rows = (
        lists.with_columns(position=pl.int_ranges(pl.col("items").list.len()))
        .explode("items", "position")
        .drop_nulls("items")
        .rename({"items": "item_id"})
        .sort("shown_at")
        .with_row_index("row")
    )
    credited = clicks.select("user_id", "item_id", "received_at").sort("received_at")
    credited = credited.join_asof(
        rows.select("user_id", "item_id", "shown_at", "row"),
        left_on="received_at", right_on="shown_at", by=["user_id", "item_id"], strategy="backward",
        tolerance=int(window_hours * HOUR_MS), check_sortedness=False,
    )  # fmt: skip
    clicked = credited["row"].drop_nulls().unique()
    return rows.with_columns(clicked=pl.col("row").is_in(clicked.implode())).drop("row")


def propensities(rows: pl.DataFrame) -> NDArray[np.float64]:
    """p_k of every position that `shown` has, float64 [K], falling from 1; empty without rows."""
    if not rows.height:
        return np.zeros(0)
    places = pl.DataFrame({"position": np.arange(int(rows["position"].max()) + 1)})  # type: ignore[arg-type]
    rows = rows.with_columns(pl.col("position").cast(pl.Int64), pl.col("clicked").cast(pl.Float64))
    plain = rows.group_by("position").agg(count=pl.len(), clicks=pl.col("clicked").sum())
    plain = places.join(plain, on="position", how="left").sort("position").fill_null(0)
    rates = _smoothed(plain["clicks"].to_numpy(), plain["count"].to_numpy())
    pairs = rows.group_by("user_id", "item_id", "position").agg(rate=pl.col("clicked").mean())
    after = pairs.with_columns(position=pl.col("position") - 1)
    both = pairs.join(after, on=["user_id", "item_id", "position"], suffix="_after")
    chain = both.group_by("position").agg(pl.col("rate").sum(), pl.col("rate_after").sum())
    chain = places.join(chain, on="position", how="left").sort("position").fill_null(0)
    prior = np.minimum(rates[1:] / rates[:-1], 1.0)
    here, there = chain["rate"].to_numpy()[:-1], chain["rate_after"].to_numpy()[:-1]
    ratio = (there + PRIOR_CLICKS * prior) / (here + PRIOR_CLICKS)
    return np.cumprod(np.concatenate([[1.0], np.minimum(ratio, 1.0)]))


def _smoothed(clicks: NDArray, count: NDArray) -> NDArray[np.float64]:
    """Click rates by position, each drawn to the one before it, the first to that of all positions; above 0."""
    rates, before = [], (clicks.sum() + 1) / (count.sum() + 2)
    for hits, total in zip(clicks.tolist(), count.tolist(), strict=True):
        before = (hits + PRIOR_ROWS * before) / (total + PRIOR_ROWS)
        rates.append(before)
    return np.array(rates)


def last_position(
    rows: pl.DataFrame, user_id: list[str], item_id: list[str], timestamp: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Where each item was shown to its user the last time until `timestamp` (ms): float64 [L], nan where it never was."""
    asked = pl.DataFrame({"user_id": user_id, "item_id": item_id, "timestamp": timestamp}).with_row_index("row")
    found = asked.sort("timestamp").join_asof(
        rows.select("user_id", "item_id", "shown_at", "position").sort("shown_at"),
        left_on="timestamp", right_on="shown_at", by=["user_id", "item_id"], strategy="backward",
        check_sortedness=False,
    )  # fmt: skip
    return found.sort("row")["position"].cast(pl.Float64).fill_null(np.nan).to_numpy()


def inverse_propensity(
    propensity: NDArray[np.float64], position: NDArray[np.float64], clip: float
) -> NDArray[np.float64]:
    """1 / max(p_k, clip) of positions [L], float64 [L]; 1 where an item was not shown (nan): the user found it alone.

    Positions behind the last known one have its propensity.
    """
    if not len(propensity):
        return np.ones(len(position))
    there = ~np.isnan(position)
    place = np.minimum(np.nan_to_num(position), len(propensity) - 1).astype(np.int64)
    return np.where(there, 1 / np.maximum(propensity[place], clip), 1.0)
