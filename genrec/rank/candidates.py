"""Candidates: the lists of several channels merged into one for each query, without repeats, and what each is worth.

A query is a history to recommend for, a number from 0. Its candidates are cut to a limit by one of two rules:

- `reciprocal_rank`: the sum over channels of 1 / (60 + rank), rank from 1 (Cormack et al., "Reciprocal rank fusion
  outperforms Condorcet", SIGIR 2009): several channels that list an item raise it.
- `round_robin`: the channels take turns, best first, each adding its next item that is not there yet; so an item stands
  where the channel that ranks it best has it, and channels named first go first.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genrec.recall.parts.ranking import top_k, top_positive
from genrec.recall.parts.scorer import History

Rule = Literal["reciprocal_rank", "round_robin"]
Lists = tuple[NDArray[np.integer], NDArray[np.float32]]  # items [U, n], -1 = none, and scores [U, n]
_RRF = 60
_CELLS = 1 << 22  # queries times items that are merged at once: bounds memory
_MAX_RANK = np.iinfo(np.int16).max
_DIGITS = 6


@dataclass(frozen=True)
class Candidates:
    """R candidates of U queries; the rows of a query are neighbours, the best by the rule first.

    query: int64 [R], ascending; item: int64 [R].
    channels: names of the C channels.
    scores: float32 [R, C], a channel's score of the item; NaN where the channel did not list it.
    ranks: int16 [R, C], its place in the channel's list, from 0; -1 where it is not there.
    num_queries: U; a query may have no candidate.
    """

    query: NDArray[np.int64]
    item: NDArray[np.int64]
    channels: tuple[str, ...]
    scores: NDArray[np.float32]
    ranks: NDArray[np.int16]
    num_queries: int

    def __len__(self) -> int:
        return len(self.query)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """int64 [U + 1]: query q has the rows starts[q] to starts[q + 1]."""
        return np.searchsorted(self.query, np.arange(self.num_queries + 1)).astype(np.int64)

    @property
    def place(self) -> NDArray[np.int64]:
        """int64 [R]: place of each row among its query's candidates, from 0."""
        return np.arange(len(self)) - self.starts[self.query]

    @property
    def num_empty(self) -> int:
        """Queries without any candidate; see `with_fallback`."""
        return int((np.diff(self.starts) == 0).sum())

    def labels(self, targets: NDArray[np.integer]) -> NDArray[np.float32]:
        """float32 [R]: 1 for the target [U] of the row's query, else 0."""
        return (self.item == np.asarray(targets)[self.query]).astype(np.float32)


def merge(
    lists: Mapping[str, Lists],
    limit: int,
    rule: Rule = "reciprocal_rank",
    allowed: NDArray[np.bool_] | None = None,
    voters: Collection[str] | None = None,
) -> Candidates:
    """The `limit` best candidates of each query by `rule`; equal ones by item.

    `lists` are best first and hold no item twice. `allowed` bool [num_items] leaves the other items out. A channel that
    has nothing for a query is no obstacle; where all are filtered a query has no row. With `voters`, only those channels
    say what is a candidate; the others keep their scores and ranks of it.
    """
    channels = tuple(lists)
    num_queries = max((len(items) for items, _ in lists.values()), default=0)
    if num_queries == 1 and rule == "reciprocal_rank":
        return _fused_of_one(lists, limit, allowed, channels if voters is None else voters)
    num_items = 1 + max((int(items.max(initial=0)) for items, _ in lists.values()), default=0)
    rows_at_once = max(1, _CELLS // num_items)
    parts = [
        _merged(
            {name: (items[first : first + rows_at_once], scores[first : first + rows_at_once])
             for name, (items, scores) in lists.items()},
            num_items, limit, rule, allowed, channels if voters is None else voters,
        )
        for first in range(0, num_queries, rows_at_once)
    ]  # fmt: skip
    offsets = np.arange(0, num_queries, rows_at_once)
    query = [part[0] + offset for part, offset in zip(parts, offsets.tolist(), strict=True)]
    shape = (0, len(channels))
    return Candidates(
        np.concatenate([np.empty(0, np.int64), *query]),
        np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)]),
        channels,
        np.concatenate([np.empty(shape, np.float32), *(part[2] for part in parts)]),
        np.concatenate([np.empty(shape, np.int16), *(part[3] for part in parts)]),
        num_queries,
    )


def _fused_of_one(
    lists: Mapping[str, Lists], limit: int, allowed: NDArray[np.bool_] | None, voters: Collection[str]
) -> Candidates:
    """`merge` of one query by `reciprocal_rank` in fewer steps, whose calls take longer than their sums."""
    _, item, rank, score, bounds = _flat(lists, allowed)
    number = np.arange(len(lists)).repeat(np.diff(bounds))
    worth = np.zeros(int(item.max(initial=-1)) + 1, dtype=np.float32)
    for name, (first, end) in zip(lists, itertools.pairwise(bounds), strict=True):
        if name in voters:
            worth[item[first:end]] += 1 / (_RRF + 1 + rank[first:end])
    chosen = top_positive(worth, limit)[0][0]
    chosen = chosen[chosen >= 0].astype(np.int64)
    row_of = np.full(len(worth), -1)
    row_of[chosen] = np.arange(len(chosen))
    row = row_of[item]
    kept = np.flatnonzero(row >= 0)
    at = number[kept], row[kept]
    scores = np.full((len(lists), len(chosen)), np.nan, dtype=np.float32)
    ranks = np.full(scores.shape, -1, dtype=np.int16)
    scores[at], ranks[at] = score[kept], rank[kept]
    return Candidates(np.zeros(len(chosen), dtype=np.int64), chosen, tuple(lists), scores.T, ranks.T, 1)


def _merged(
    lists: Mapping[str, Lists],
    num_items: int,
    limit: int,
    rule: Rule,
    allowed: NDArray[np.bool_] | None,
    voters: Collection[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int16]]:
    """(query, item, scores, ranks) of some queries, numbered from 0."""
    query, item, rank, score, bounds = _flat(lists, allowed)
    num_queries = max(len(items) for items, _ in lists.values())
    worth = np.full((num_queries, num_items), 0 if rule == "reciprocal_rank" else -np.inf, dtype=np.float32)
    for number, (name, (first, end)) in enumerate(zip(lists, itertools.pairwise(bounds), strict=True)):
        if name not in voters:
            continue
        at, places = (query[first:end], item[first:end]), rank[first:end]
        if rule == "reciprocal_rank":
            worth[at] += 1 / (_RRF + 1 + places)
        else:
            worth[at] = np.maximum(worth[at], -np.float32(places * len(lists) + number))
    if rule == "reciprocal_rank":
        worth[worth == 0] = -np.inf
    chosen, _ = top_k(worth, limit)
    of_row, place = np.nonzero(chosen >= 0)
    kept_item = chosen[of_row, place].astype(np.int64)
    row_of = np.full(worth.shape, -1, dtype=np.int32)
    row_of[of_row, kept_item] = np.arange(len(kept_item))
    scores = np.full((len(kept_item), len(lists)), np.nan, dtype=np.float32)
    ranks = np.full(scores.shape, -1, dtype=np.int16)
    row, channel = row_of[query, item], np.repeat(np.arange(len(lists)), np.diff(bounds))
    kept = row >= 0
    row, channel = row[kept], channel[kept]
    scores[row, channel], ranks[row, channel] = score[kept], rank[kept]
    return of_row.astype(np.int64), kept_item, scores, ranks


def _flat(
    lists: Mapping[str, Lists], allowed: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], list[int]]:
    """(query, item, rank, score) of what the channels list, channel by channel, and where each begins and the last ends."""
    shapes = [items.shape for items, _ in lists.values()]
    if max(width for _, width in shapes) > _MAX_RANK and any(
        (items[:, _MAX_RANK:] >= 0).any() for items, _ in lists.values()
    ):
        raise ValueError(f"a channel lists more than {_MAX_RANK} items for a query; ask it for fewer")
    item = np.concatenate([items.ravel() for items, _ in lists.values()])
    score = np.concatenate([scores.ravel() for _, scores in lists.values()])
    query = np.concatenate([np.arange(rows).repeat(width) for rows, width in shapes])
    rank = np.concatenate(
        [np.arange(width) if rows == 1 else np.tile(np.arange(width), rows) for rows, width in shapes]
    )
    listed = item >= 0
    if allowed is not None:
        listed &= allowed[np.maximum(item, 0)]
    at = np.flatnonzero(listed)
    ends = list(itertools.accumulate(rows * width for rows, width in shapes))
    bounds = [0, *np.searchsorted(at, ends).tolist()]
    return query[at], item[at].astype(np.int64), rank[at], score[at], bounds


def with_fallback(
    candidates: Candidates, items: NDArray[np.integer], count: int, banned: Sequence[History] | None = None
) -> Candidates:
    """Queries without a candidate get the first `count` of `items` (such as those in stock, most popular first), their own
    `banned` ones left out; no channel says anything of these.
    """
    empty = np.flatnonzero(np.diff(candidates.starts) == 0)
    given = [
        items[~np.isin(items, [] if banned is None else np.asarray(banned[query]))][:count] for query in empty.tolist()
    ]
    number = sum(len(listed) for listed in given)
    query = np.concatenate([candidates.query, np.repeat(empty, [len(listed) for listed in given])])
    order = np.argsort(query, kind="stable")
    nothing = (number, len(candidates.channels))
    return Candidates(
        query[order],
        np.concatenate([candidates.item, *given]).astype(np.int64)[order],
        candidates.channels,
        np.concatenate([candidates.scores, np.full(nothing, np.nan, dtype=np.float32)])[order],
        np.concatenate([candidates.ranks, np.full(nothing, -1, dtype=np.int16)])[order],
        candidates.num_queries,
    )


def figures(
    lists: Mapping[str, Lists], candidates: Candidates, targets: NDArray[np.integer], k: int = 50
) -> dict[str, Any]:
    """What the channels recall, shares of all queries: {channels: {name: {recall, adds, queries}}, union, ceiling, ...}.

    recall: the target [U] is among the channel's first k. adds: and among no other channel's first k. queries: the
    channel lists anything. union: the target is among the first k of some channel. ceiling: it is a candidate, which is
    the most that a ranking can reach; candidates: mean number, without: queries that have none.
    """
    found = {name: (items[:, :k] == targets[:, None]).any(axis=1) for name, (items, _) in lists.items()}
    times = np.zeros(len(targets), dtype=np.int64)
    for hit in found.values():
        times += hit
    hits = candidates.labels(targets) > 0
    return {
        "k": k,
        "channels": {
            name: {
                "recall": _share(hit),
                "adds": _share(hit & (times == 1)),
                "queries": _share(lists[name][0].max(axis=1, initial=-1) >= 0),
            }
            for name, hit in found.items()
        },
        "union": _share(times > 0),
        "ceiling": round(float(hits.sum()) / max(len(targets), 1), _DIGITS),
        "candidates": round(len(candidates) / max(len(targets), 1), 2),
        "without": candidates.num_empty,
    }


def _share(mask: NDArray[np.bool_]) -> float:
    return round(float(mask.mean()), _DIGITS) if len(mask) else 0.0
