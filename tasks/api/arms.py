"""What a request is answered with: the model in service, the one beside it, or both lists interleaved (an experiment)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from genrec.serve.experiment import CANDIDATE, CONTROL, INTERLEAVED, Arm, interleave
from genrec.serve.query import Answer, Query


class Asked(NamedTuple):
    """A query and who answers it. seed: of the coin of an interleaved list."""

    query: Query
    arm: Arm = CONTROL
    seed: str = ""


class Shown(NamedTuple):
    """An answer, and for each item of an interleaved one the model that it is from."""

    answer: Answer
    teams: list[str | None] | None = None


def answered(asked: Sequence[Asked], control: Any, candidate: Any = None) -> list[Shown]:
    """The answers of a batch by two engines, in its order; the candidate is only needed where an arm asks for it."""
    by_control = _by(control, asked, CANDIDATE)
    by_candidate = _by(candidate, asked, CONTROL)
    return [
        Shown(by_control[place] if one.arm == CONTROL else by_candidate[place])
        if one.arm != INTERLEAVED
        else _interleaved(one, by_control[place], by_candidate[place])
        for place, one in enumerate(asked)
    ]


def _by(engine: Any, asked: Sequence[Asked], but: Arm) -> dict[int, Answer]:
    """The answers of an engine to all but the queries of an arm, by their place."""
    places = [place for place, one in enumerate(asked) if one.arm != but]
    if not places:
        return {}
    return dict(zip(places, engine.answer([asked[place].query for place in places]), strict=True))


def _interleaved(one: Asked, control: Answer, candidate: Answer) -> Shown:
    """One list of both; each item is that of the model that picked it, with its score."""
    ids, teams = interleave(
        [item.item_id for item in control.items], [item.item_id for item in candidate.items], one.seed, one.query.k
    )
    of = {CONTROL: {i.item_id: i for i in control.items}, CANDIDATE: {i.item_id: i for i in candidate.items}}
    items = [
        of[team][item_id] if team else of[CONTROL].get(item_id) or of[CANDIDATE][item_id]
        for item_id, team in zip(ids, teams, strict=True)
    ]
    keys = f"{control.model_key}+{candidate.model_key}"
    return Shown(dataclasses.replace(control, items=items, model_key=keys), teams)
