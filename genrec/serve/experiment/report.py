"""Who wins: users, lists, rates by arm, the differences with their intervals, and what follows in words."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.event_log import open_log
from genrec.serve.experiment import sequence
from genrec.serve.experiment.assignment import CANDIDATE, CONTROL, INTERLEAVED, Experiment
from genrec.serve.experiment.days import join_days, read_impressions
from genrec.serve.experiment.impressions import experiment_folder, read_settings, write_whole
from genrec.serve.experiment.outcomes import OUTCOMES, event_frame, lists_with_outcomes, users_with_outcomes

REPORT = "report.json"
_BALANCE_CONFIDENCE = 0.999
_MORE = {"click": "clicks", "purchase": "purchases"}


def report_on(store: str | Path, name: str, events: str = "", clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """The report of an experiment of a store, also written to STORE/experiments/NAME/report.json.

    events: place of the event log; "": the one that the endpoint used.

    Returns name, settings (of the experiment), made_at, first_shown, last_shown (milliseconds), arms (a row each: arm,
    users, lists, counted_users, click_rate, purchase_rate: the share of lists with one), differences (outcome -> mean, low,
    high, users, decided), decision (candidate | control | open), words, warnings (sentences).

    Raises GenrecError where the experiment, its impressions or the event log are not there.
    """
    folder = experiment_folder(store, name)
    experiment, used = read_settings(folder)
    now_ms = int(clock() * 1000)
    join_days(folder, now_ms)
    impressions = read_impressions(folder)
    first_shown = impressions["shown_at"][0].as_py()
    with open_log(events or used, create=False) as log:
        clicks = event_frame(
            event for chunk in log.read_all() for event in chunk if event.received_at >= first_shown - 60_000
        )
    lists = lists_with_outcomes(impressions, clicks, experiment.window_hours)
    users = users_with_outcomes(lists, experiment, now_ms)
    found = differences(users, experiment)
    report: dict[str, Any] = {
        "name": name,
        "settings": {field: getattr(experiment, field) for field in experiment.__dataclass_fields__},
        "made_at": now_ms,
        "first_shown": first_shown,
        "last_shown": impressions["shown_at"][-1].as_py(),
        "arms": _arms(lists, users),
        "differences": {outcome: _plain(interval) for outcome, interval in found.items()},
        "decision": _decision(found[experiment.outcome]),
        "words": in_words(found[experiment.outcome], experiment),
        "warnings": _warnings(users, experiment),
    }
    write_whole(folder / REPORT, json.dumps(report, indent=2, sort_keys=True).encode())
    return report


def differences(users: pl.DataFrame, experiment: Experiment) -> dict[str, sequence.Interval]:
    """For each outcome the difference, candidate minus the model in service, with its interval.

    users: as users_with_outcomes gives them. Mode split: of the mean rates of users. Mode interleave: the mean over users
    of the share of lists that the candidate's items won minus the share that they lost.
    """
    chosen = compared(users, experiment)
    found = {}
    for outcome in OUTCOMES:
        if experiment.mode == "interleave":
            values = chosen[f"{outcome}_wins"].cast(pl.Float64).to_numpy()
            support = float(np.count_nonzero(values)) / 2  # a team's share of those who preferred one
        else:
            rates, shares = chosen[outcome].cast(pl.Float64).to_numpy(), chosen["share"].to_numpy()
            values = sequence.effects(rates, (chosen["arm"] == CANDIDATE).to_numpy(), shares)
            support = sequence.support_of(rates, shares)
        found[outcome] = sequence.interval(values, experiment.confidence, experiment.tight_at_users, support)
    return found


def compared(users: pl.DataFrame, experiment: Experiment) -> pl.DataFrame:
    """The users whose outcomes are compared: in mode split, those who might have had either arm."""
    if experiment.mode == "interleave":
        return users.filter(pl.col("arm") == INTERLEAVED)
    in_an_arm = pl.col("arm").is_in([CONTROL, CANDIDATE])
    return users.filter(in_an_arm, pl.col("share").is_between(0, 1, closed="none"))


def in_words(found: sequence.Interval, experiment: Experiment) -> str:
    """What follows from the difference in the outcome that decides."""
    what = _MORE[experiment.outcome]
    if not found.is_known:
        return (
            f"Too early: {found.num_users:,} users count so far, and an interval holds from {sequence.MIN_USERS} on, with "
            f"{sequence.MIN_SUPPORT:g} expected in the smaller arm who had {what}. A user counts "
            f"{2 * experiment.window_hours:g} hours after the first list."
        )
    numbers = f"{_points(found.mean)} [{_points(found.low)}, {_points(found.high)}]"
    if not found.decided:
        return f"No difference in {what} is shown yet ({numbers}); go on, or stop where the interval is narrow enough."
    who = f"The candidate ({experiment.candidate})" if found.mean > 0 else "The model in service"
    return f"{who} wins: more {what} ({numbers}), by an interval that holds on every day one looks. The experiment may end."


def _points(value: float) -> str:
    return f"{100 * value:+.2f} points"


def _decision(found: sequence.Interval) -> str:
    if not found.decided:
        return "open"
    return CANDIDATE if found.mean > 0 else CONTROL


def _plain(found: sequence.Interval) -> dict[str, Any]:
    """As JSON has it: null where there is no number."""
    numbers = {"mean": found.mean, "low": found.low, "high": found.high}
    shown = {name: value if found.is_known else None for name, value in numbers.items()}
    return {**shown, "users": found.num_users, "decided": found.decided}


def _arms(lists: pl.DataFrame, users: pl.DataFrame) -> list[dict[str, Any]]:
    """A row for each arm, and for the items of each team of interleaved lists."""
    rows = []
    for arm in (CONTROL, CANDIDATE, INTERLEAVED):
        of_arm = lists.filter(pl.col("arm") == arm)
        if of_arm.height:
            counted = users.filter(pl.col("arm") == arm).height
            rows.append(_row(arm, of_arm, counted, {outcome: outcome for outcome in OUTCOMES}))
            for team in (CONTROL, CANDIDATE) if arm == INTERLEAVED else ():
                columns = {outcome: f"{outcome}_{team}" for outcome in OUTCOMES}
                rows.append(_row(f"{arm}: items of {team}", of_arm, counted, columns))
    return rows


def _row(name: str, lists: pl.DataFrame, counted: int, columns: dict[str, str]) -> dict[str, Any]:
    rates = {f"{outcome}_rate": float((lists[column] > 0).mean()) for outcome, column in columns.items()}  # type: ignore[arg-type]
    return {
        "arm": name,
        "users": lists["user_id"].n_unique(),
        "lists": lists.height,
        "counted_users": counted,
        **rates,
    }


def _warnings(users: pl.DataFrame, experiment: Experiment) -> list[str]:
    """Sentences where the arms are not as drawn: then outcomes are missing in one, and no difference means anything."""
    drawn = users.filter(pl.col("share").is_between(0, 1, closed="none"))
    if not drawn.height:
        return ["Nobody might have had either arm (share 0 or 1): there is nothing to compare."] if users.height else []
    shares = drawn["share"].to_numpy()
    off = (drawn["arm"] != CONTROL).cast(pl.Float64).to_numpy() - shares
    support = float(np.sum(np.minimum(shares, 1 - shares)))
    balance = sequence.interval(off, _BALANCE_CONFIDENCE, experiment.tight_at_users, support)
    if not balance.decided:
        return []
    expected, seen = float(np.mean(shares)), float((drawn["arm"] != CONTROL).mean())  # type: ignore[arg-type]
    return [
        f"{seen:.1%} of the users are not in the arm control where {expected:.1%} were drawn: users are lost in one arm, or "
        "were assigned otherwise; look for the cause before believing a difference."
    ]
