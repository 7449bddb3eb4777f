"""Team-draft interleaving: one list of two, in which each ranking picks its items in turn.

Radlinski, Kurup, Joachims, "How Does Clickthrough Data Reflect Retrieval Quality?", CIKM 2008, section 4.2 (algorithm 2).
"""

import random
from collections.abc import Sequence
from typing import TypeVar

from genrec.serve.experiment.assignment import CANDIDATE, CONTROL

Item = TypeVar("Item")


def interleave(
    control: Sequence[Item], candidate: Sequence[Item], seed: int | str, k: int | None = None
) -> tuple[list[Item], list[str | None]]:
    """The list to show, and for each item the team that picked it: "control", "candidate" or None.

    control, candidate: items, best first, without repeats. seed: of the coin; the request id makes a list that can be
    made again. k: items to show; None: as many as the longer of the two lists has.

    The team that has picked fewer items picks its best item that is not in the list yet; a coin decides where both
    picked as many. So every beginning of the list holds as many of one team as of the other, give or take one, and each
    team is as likely to be ahead. Once one ranking has nothing left, the other fills the list up with items of no team:
    what is clicked there says nothing about who is better.
    """
    coin = random.Random(seed)
    rankings = {CONTROL: list(control), CANDIDATE: list(candidate)}
    next_place = {CONTROL: 0, CANDIDATE: 0}
    picked = {CONTROL: 0, CANDIDATE: 0}
    items: list[Item] = []
    teams: list[str | None] = []
    shown: set[Item] = set()
    length = max(len(control), len(candidate)) if k is None else k
    while len(items) < length:
        for team, ranking in rankings.items():
            while next_place[team] < len(ranking) and ranking[next_place[team]] in shown:
                next_place[team] += 1
        left = [team for team, ranking in rankings.items() if next_place[team] < len(ranking)]
        if not left:
            break
        if len(left) == 1:
            team = left[0]
        elif picked[CONTROL] != picked[CANDIDATE]:
            team = min(picked, key=lambda name: picked[name])
        else:
            team = CONTROL if coin.random() < 0.5 else CANDIDATE
        item = rankings[team][next_place[team]]
        items.append(item)
        shown.add(item)
        teams.append(team if len(left) == 2 else None)
        picked[team] += len(left) == 2
    return items, teams
