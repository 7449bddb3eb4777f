"""Histories and filters in, lists out: by the model, or by popularity for who has no history that it can read."""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genrec.serve.batch.events import Events
from genrec.serve.engine import Engine


class Lists(NamedTuple):
    """Lists of U users."""

    items: NDArray[np.int64]  # int64[U, k], best first, -1 where there are no more
    scores: NDArray[np.float32]  # float32[U, k]
    by_model: NDArray[np.bool_]  # bool[U]; else by popularity


def histories(events: Events, dedupe: bool) -> list[NDArray[np.int64]]:
    """Of every user the known items of the history, oldest first; with `dedupe` each item once, where it came first."""
    rows = np.flatnonzero(events.in_history & (events.item >= 0))
    if dedupe and len(rows):
        pair = events.owner[rows] * (events.item.max() + 1) + events.item[rows]
        rows = rows[np.sort(np.unique(pair, return_index=True)[1])]
    return _by_user(events.owner[rows], events.item[rows], len(events.users))


def make_lists(engine: Engine, read: list[NDArray[np.int64]], events: Events, k: int, keep_seen: bool) -> Lists:
    """The k best items for every user by what was read of the histories.

    Left out are recent purchases and, unless they are to be kept, the items of the history; items out of the engine's
    stock never come.
    """
    num_users, catalogue = len(read), engine.catalogue
    items = np.full((num_users, k), -1, dtype=np.int64)
    scores = np.full((num_users, k), -np.inf, dtype=np.float32)
    by_model = np.array([len(history) > 0 for history in read], dtype=bool)
    banned = _banned(read, events, keep_seen)
    if searched := np.flatnonzero(by_model).tolist():
        left_out = None if banned is None else [banned[u] for u in searched]
        items[searched], scores[searched] = engine.rank([read[u] for u in searched], k, left_out)
    popular = catalogue.by_popularity[catalogue.in_stock[catalogue.by_popularity]]
    for u in np.flatnonzero(~by_model).tolist():
        order = popular if banned is None or not len(banned[u]) else popular[~np.isin(popular, banned[u])]
        num = min(k, len(order))
        items[u, :num], scores[u, :num] = order[:num], catalogue.popularity_scores[order[:num]]
    return Lists(items, scores, by_model)


def _banned(read: list[NDArray[np.int64]], events: Events, keep_seen: bool) -> list[NDArray[np.int64]] | None:
    """What is left out of every user's list; None where nothing is of anyone's."""
    bought = events.is_bought & (events.item >= 0)
    if not bought.any():
        return None if keep_seen else read
    of_purchases = _by_user(events.owner[bought], events.item[bought], len(read))
    if keep_seen:
        return of_purchases
    return [np.concatenate(pair) if len(pair[1]) else pair[0] for pair in zip(read, of_purchases, strict=True)]


def _by_user(owner: NDArray[np.int64], item: NDArray[np.int64], num_users: int) -> list[NDArray[np.int64]]:
    """Items by their owners, who are in order."""
    edges = np.searchsorted(owner, np.arange(num_users + 1)).tolist()
    return [item[start:stop] for start, stop in itertools.pairwise(edges)]
