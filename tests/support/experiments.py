"""Experiments played through the real functions: users come, see lists, click, and the report reads what was logged."""

import random
from pathlib import Path

from genrec.event_log import Event, log_of_store, open_log
from genrec.serve.experiment import Experiment, ImpressionLog, experiment_folder, interleave
from tests.support.event_logs import T_MS, Clock

DAY_MS = 24 * 3_600_000
GOOD, POOR = [f"g{n}" for n in range(5)], [f"p{n}" for n in range(5)]


def play(
    store: Path, experiment: Experiment, lists: dict[str, list[str]], click_rates: dict[str, float], num_users: int
) -> Clock:
    """Play an experiment in the first hour of a day; the clock, two days later.

    lists: what the models "control" and "candidate" recommend; click_rates: of the items, on their first letters. Every
    other user comes twice; every fourth click is followed by a purchase; half of the events name their request.
    """
    clock, draw = Clock(), random.Random(0)
    ImpressionLog.open(store, experiment, str(log_of_store(store))).close()
    with (
        open_log(log_of_store(store), clock=clock) as log,
        ImpressionLog(experiment_folder(store, experiment.name), experiment, 3600, 10**9, clock) as impressions,
    ):
        events = []
        for number in range(num_users):
            user = f"user-{number}"
            arm = experiment.assign(user)
            for visit in range(1 + number % 2):
                clock.now_ms += 100
                request = f"r{number}-{visit}"
                if arm == "interleaved":
                    items, teams = interleave(lists["control"], lists["candidate"], request, k=5)
                else:
                    items, teams = lists[arm], None
                impressions.log(request, user, arm, items, teams)
                for item in items:
                    if draw.random() < click_rates[item[0]] / len(items):
                        named = request if draw.random() < 0.5 else None
                        events.append(Event(user, item, "click", request_id=named))
                        if draw.random() < 0.25:
                            events.append(Event(user, item, "purchase", request_id=named))
        log.append(events)  # in one go: a commit each would take longer than the rest
    clock.now_ms = T_MS + 3 * DAY_MS
    return clock
