"""What users did with what they were shown: events joined to lists, and a figure for each user and arm.

An event answers the list with its request id, if the item was in that list; else the newest list shown to the same user
with that item. It counts for that one list, by this machine's clock, within the window after the list was shown.

The unit is the user: who sees what is drawn by user, and lists of one user are alike. A user's window begins with the
first list and lasts `window_hours`; lists shown in it count, each with the events of its own window. The arm is that of the
first list. A user counts once all of this is over, so that a user's figure never changes afterwards, and users come in the
order of their first lists.
"""

from collections.abc import Iterable

import polars as pl
import pyarrow as pa

from genrec.event_log import Stored
from genrec.serve.experiment.assignment import CANDIDATE, CONTROL, Experiment

OUTCOMES = ("click", "purchase")
GRACE_MS = 5 * 60 * 1000  # until lists that were shown are surely on the disk
_EVENTS = {
    "user_id": pl.String,
    "item_id": pl.String,
    "event": pl.String,
    "received_at": pl.Int64,
    "request_id": pl.String,
}


def event_frame(events: Iterable[Stored]) -> pl.DataFrame:
    """The clicks and purchases among events of the log."""
    columns: dict[str, list] = {name: [] for name in _EVENTS}
    for event in events:
        if event.event in OUTCOMES:
            for name, column in columns.items():
                column.append(getattr(event, name))
    return pl.DataFrame(columns, schema=_EVENTS)


def lists_with_outcomes(impressions: pa.Table, events: pl.DataFrame, window_hours: float) -> pl.DataFrame:
    """A row a list: request_id, user_id, shown_at, arm, share, and how often each outcome fell on it.

    Columns `click` and `purchase` count the events, `click_control`, `click_candidate` and so on those on items of a team.
    """
    lists = _frame(impressions).with_row_index("list")  # clients may use a request id again
    shown = lists.select("list", "request_id", "user_id", "shown_at", item="items", team="teams")
    shown = pl.concat([_with_teams(shown), _without_teams(shown)]).rename({"item": "item_id"})
    credited = _credited(shown, events, int(window_hours * 3_600_000))
    counts = credited.group_by("list").agg(
        *(_number(outcome).alias(outcome) for outcome in OUTCOMES),
        *(
            (_number(outcome, pl.col("team") == team)).alias(f"{outcome}_{team}")
            for outcome in OUTCOMES
            for team in (CONTROL, CANDIDATE)
        ),
    )
    joined = lists.drop("items", "teams", "model_key").join(counts, on="list", how="left", maintain_order="left")
    return joined.with_columns(pl.col(*counts.columns[1:]).fill_null(0))


def users_with_outcomes(lists: pl.DataFrame, experiment: Experiment, now_ms: int) -> pl.DataFrame:
    """A row a user for whom all is over by `now_ms`, in the order of their first lists.

    Columns: user_id, arm, share, lists (shown in the window), and for each outcome its rate: the share of the user's lists
    with such an event. Also `click_wins` and `purchase_wins`, of interleaved lists: the share of lists in which the
    candidate's items got more of the events, minus that in which those of the other did.
    """
    window_ms = int(experiment.window_hours * 3_600_000)
    first = lists.sort("shown_at", "request_id").group_by("user_id", maintain_order=True).agg(
        pl.col("shown_at").first().alias("since"), pl.col("arm", "share").first()
    )  # fmt: skip
    mine = lists.drop("arm", "share").join(first, on="user_id")
    mine = mine.filter(pl.col("shown_at") < pl.col("since") + window_ms)
    rates = [(pl.col(outcome) > 0).mean().alias(outcome) for outcome in OUTCOMES]
    wins = [
        (pl.col(f"{outcome}_{CANDIDATE}") - pl.col(f"{outcome}_{CONTROL}")).sign().mean().alias(f"{outcome}_wins")
        for outcome in OUTCOMES
    ]
    users = mine.group_by("user_id", "since", "arm", "share").agg(pl.len().alias("lists"), *rates, *wins)
    ended = pl.col("since") + 2 * window_ms + GRACE_MS <= now_ms
    return users.filter(ended).sort("since", "user_id")


def _frame(impressions: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(impressions)
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.col("teams").cast(pl.List(pl.String)))


def _with_teams(shown: pl.DataFrame) -> pl.DataFrame:
    return shown.filter(pl.col("team").is_not_null()).explode("item", "team")


def _without_teams(shown: pl.DataFrame) -> pl.DataFrame:
    alone = shown.filter(pl.col("team").is_null()).with_columns(pl.lit(None, pl.String).alias("team"))
    return alone.explode("item")


def _credited(shown: pl.DataFrame, events: pl.DataFrame, window_ms: int) -> pl.DataFrame:
    """A row an event that falls on a list: event, list and team."""
    events = events.with_row_index("place")
    named = events.join(shown, on=["request_id", "user_id", "item_id"])
    answered = named.sort("shown_at", "list").unique("place", keep="last", maintain_order=True)
    others = events.join(answered, on="place", how="anti").drop("request_id").sort("received_at")
    newest = others.join_asof(
        shown.filter(pl.col("item_id").is_not_null()).sort("shown_at"),
        left_on="received_at",
        right_on="shown_at",
        by=["user_id", "item_id"],
        coalesce=False,
        check_sortedness=False,  # both are sorted just before; it warns that it cannot see so by group
    ).filter(pl.col("list").is_not_null())
    columns = ["event", "list", "team", "received_at", "shown_at"]
    both = pl.concat([answered.select(columns), newest.select(columns)])
    # With the request id an event may come "before" its list: by the clock of another replica.
    return both.filter(pl.col("received_at") - pl.col("shown_at") <= window_ms)


def _number(outcome: str, also: pl.Expr | None = None) -> pl.Expr:
    is_one = pl.col("event") == outcome
    return (is_one if also is None else is_one & also).sum().cast(pl.Int64)
