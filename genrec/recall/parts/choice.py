"""A channel's own options, chosen on validation, so that a model is compared with what the channel can do.

A channel may declare, beside its `Config`,

    CHOICES = {"window": (1, 5), "history_decay": (0.4, 0.6, 0.8)}
    RANKING = ("history_decay",)

`CHOICES` gives the values that are tried for an option. The search begins at the defaults and goes through the options
in this order: each takes the value with the best NDCG@10 on validation, those before it as chosen, those after it as
they were (of equals, the one tried first). An option that the user has set is not searched. `RANKING` names options that
only the ranking reads: scorers of these channels have `with_options(options)`, the same fit ranked otherwise, and are
not fitted again for them.

Of many training users the candidates are fitted on a random sample of `_MOST_USERS`, so that the search costs the same for
any number of them; the options chosen are then fitted on all. Not so of a channel with `READS_EVENTS = False`, whose fit is
the same for any users. A channel may also declare

    def suited(num_items: int) -> dict[str, Any]

which gives options that a large catalogue takes in place of the defaults, where the user has set none: they are not searched.

Validation targets decide between the values and are learned from in no other way.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from genrec.progress import Progress
from genrec.recall.parts.scorer import Held, Scorer, Training
from genrec.recall.parts.validation import sample, validate

_DIGITS = 6
_MOST_USERS = 1 << 16


@dataclass(frozen=True)
class Choice:
    """A fitted channel, and how its options were chosen."""

    scorer: Scorer
    options: Any  # the channel's Config
    fit_seconds: float  # of the options chosen
    tried: list[dict[str, Any]]  # by candidate {options: what differs from `Config` as written, hr@10, ndcg@10}
    users: int  # validation users behind the figures


def choose(module: ModuleType, written: Mapping[str, Any], data: Training, max_users: int) -> Choice:
    """Fit a channel with the options that are best on validation.

    `written` are the options that the user has set. Without validation rows, with `max_users` 0 or with nothing to
    choose the channel is fitted once, with the defaults of the others.
    """
    given = {**(module.suited(data.num_items) if hasattr(module, "suited") else {}), **written}
    first = module.Config(**given)
    held = sample(data.validation, max_users)
    choices = {n: values for n, values in getattr(module, "CHOICES", {}).items() if n not in given}
    if held is None or not choices:
        return _fitted(module, first, None, data)
    some = _some_users(data) if getattr(module, "READS_EVENTS", True) else None
    if some is None:
        return _search(module, first, choices, data, held)
    best = _search(module, first, choices, dataclasses.replace(some, progress=_part(data.progress, 0, 2)), held)
    last = dataclasses.replace(data, progress=_part(data.progress, 1, 2))
    found = _fitted(module, best.options, None, last)
    return dataclasses.replace(found, tried=best.tried, users=best.users)


def _some_users(data: Training) -> Training | None:
    """The data with the sequences of `_MOST_USERS` users, drawn by its seed; None where there are no more."""
    if len(data.sequences) <= _MOST_USERS:
        return None
    drawn = np.random.default_rng(data.seed).choice(len(data.sequences), _MOST_USERS, replace=False)
    users = np.sort(drawn).tolist()
    times = data.timestamps
    return dataclasses.replace(
        data,
        sequences=[data.sequences[user] for user in users],
        timestamps=None if times is None else [times[user] for user in users],
    )


def _search(
    module: ModuleType, first: Any, choices: Mapping[str, tuple[Any, ...]], data: Training, held: Held
) -> Choice:
    planned = 1 + sum(len(values) for values in choices.values())
    best, best_figure = None, -1.0
    seen, tried = [], []
    for index, change in enumerate(_changes(choices)):
        base = first if best is None else best.options
        options = dataclasses.replace(base, **change)
        if options in seen:
            continue
        seen.append(options)
        fitted = _fitted(
            module, options, best, dataclasses.replace(data, progress=_part(data.progress, index, planned))
        )
        hr, ndcg = validate(fitted.scorer, held)
        tried.append(
            {"options": _differing(options, first), "hr@10": round(hr, _DIGITS), "ndcg@10": round(ndcg, _DIGITS)}
        )
        if ndcg > best_figure:
            best, best_figure = fitted, ndcg
    assert best is not None  # the first candidate changes nothing
    return dataclasses.replace(best, tried=tried, users=len(held.targets))


def _changes(choices: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """What each candidate changes in the best one before it."""
    yield {}
    for name, values in choices.items():
        yield from ({name: value} for value in values)


def _fitted(module: ModuleType, options: Any, best: Choice | None, data: Training) -> Choice:
    """A fit with these options; that of `best` where only options of the ranking differ."""
    if best is not None and _differing(options, best.options).keys() <= set(getattr(module, "RANKING", ())):
        return dataclasses.replace(best, scorer=best.scorer.with_options(options), options=options)  # type: ignore[attr-defined]
    began = time.perf_counter()
    scorer = module.fit(data, options)
    return Choice(scorer, options, time.perf_counter() - began, [], 0)


def _differing(options: Any, other: Any) -> dict[str, Any]:
    """The fields of a Config in which it differs from another."""
    before = dataclasses.asdict(other)
    return {name: value for name, value in dataclasses.asdict(options).items() if value != before[name]}


def _part(progress: Progress, index: int, count: int) -> Progress:
    """Progress of one of `count` fits as that of all."""

    def report(done: float, total: float, note: str = "", /, **values: float) -> None:
        progress(index + done / total, count, note, **values)

    return report
