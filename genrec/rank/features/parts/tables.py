"""What features are looked up in: counted on the training sequences, read from the catalogue, kept as an artifact.

N items of the catalogue, and row N for any other: a brand-new item has no count, no text and no category, and its features
are missing, not wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.metrics import popularity_groups
from genrec.recall.itemcf import shared_users
from genrec.recall.parts import index_files
from genrec.recall.parts.scorer import Training, flatten, unit_rows
from genrec.recall.parts.thinning import newest, num_kept
from genrec.recall.transition_hops import follow_shares, second_hop
from genrec.recall.transitions import transition_weights

_Made = TypeVar("_Made")
_DAY_MS = 86_400_000
_POSITIONS_BELOW = 100_000_000  # timestamps below it are positions in a sequence, not milliseconds
_HEAD_SHARE = 0.2
_MOST_CATEGORIES = 6  # the most specific ones of an item
_MOST_TWO_HOPS = 200
_MOST_USER_ITEMS = 500  # newest events of a user that count in `together`, as in the channel itemcf


@dataclass(frozen=True)
class Tables:
    """Lookups by item; every array has N + 1 rows."""

    counts: NDArray[np.float32]  # training events
    is_head: NDArray[np.bool_]  # among the fifth of the items with the most events
    popularity_rank: NDArray[np.float32]  # share of the items with fewer events, 0..1; NaN for row N
    times: NDArray[np.int64]  # [E], of all training events, ascending; empty where timestamps are positions
    event_keys: NDArray[np.int64]  # [E], item * (E + 1) + place in `times`, ascending
    follow: sp.csr_array  # [N + 1, N + 1], share of the row's followers that are the column
    follow_counts: sp.csr_array  # the same as counts
    hops: sp.csr_array  # probability of a path of exactly two hops
    together: sp.csr_array  # cosine of the sets of users
    vectors: NDArray[np.float32]  # [N + 1, V], unit rows; zeros where there is no text
    brand: NDArray[np.int64]  # -1: none
    leaf: NDArray[np.int64]  # the most specific category, -1: none
    categories: NDArray[np.int64]  # [N + 1, at most 6], the most specific ones, -1: none
    leaf_events: NDArray[np.float32]  # training events of the item's category, NaN without one
    leaf_rank: NDArray[np.float32]  # share of the category's items with fewer events, 0..1; NaN without one
    prices: NDArray[np.float32]  # log of the price in the shop's currency, NaN: not known
    price_rank: NDArray[np.float32]  # share of the category's priced items that are cheaper, 0..1; NaN: not known
    centres: NDArray[np.float32]  # [S, P], segments of users as standardised profiles; [0, P]: none
    profile_mean: NDArray[np.float32]  # [P]
    profile_scale: NDArray[np.float32]  # [P]

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.counts) - 1

    @property
    def has_times(self) -> bool:
        """Whether timestamps of the training events are times."""
        return len(self.times) > 0

    def rows(self, items: NDArray[np.integer]) -> NDArray[np.int64]:
        """The rows of items: N for one that the catalogue did not hold."""
        numbers = np.asarray(items, dtype=np.int64)
        return np.where((numbers >= 0) & (numbers < self.num_items), numbers, self.num_items)

    @property
    def served_moment(self) -> int | None:
        """The moment of all requests, right after the newest training event; None where timestamps are no times.

        So the same history gets the same list until another model is in service.
        """
        return int(self.times[-1]) + 1 if self.has_times else None

    def kept(self, make: Callable[["Tables"], _Made]) -> _Made:
        """`make` of the tables, made when it is first asked for."""
        if make not in self._kept:
            self._kept[make] = make(self)
        return self._kept[make]

    @cached_property
    def _kept(self) -> dict[Any, Any]:
        return {}

    @cached_property
    def has_prices(self) -> bool:
        """Whether the price of any item is known."""
        return not np.isnan(self.prices).all()

    @cached_property
    def log_counts(self) -> NDArray[np.float32]:
        """log(1 + training events)."""
        return np.log1p(self.counts)

    @cached_property
    def is_sold(self) -> NDArray[np.bool_]:
        """Whether there is a training event of the item."""
        return self.counts > 0

    @cached_property
    def is_followed(self) -> NDArray[np.bool_]:
        """Whether any item came after it in training."""
        return np.diff(self.follow.indptr) > 0

    @cached_property
    def follow_back(self) -> sp.csr_array:
        """`follow` by the item that comes after."""
        return sp.csr_array(self.follow.T)

    @cached_property
    def has_text(self) -> NDArray[np.bool_]:
        """Whether the item has a text."""
        return (self.vectors != 0).any(axis=1)

    @cached_property
    def _first_events(self) -> NDArray[np.int64]:
        """Where in `event_keys` the events of each item begin."""
        return np.searchsorted(self.event_keys, np.arange(len(self.counts)) * (len(self.times) + 1))

    def save(self, folder: Path) -> None:
        """Write the tables into `folder`."""
        index_files.write(folder, {field.name: getattr(self, field.name) for field in fields(self)}, {})

    @classmethod
    def load(cls, folder: Path) -> "Tables":
        """The tables that were saved there."""
        arrays, _ = index_files.read(folder)
        with index_files.complete(folder):
            return cls(**{field.name: arrays[field.name] for field in fields(cls)})

    def events_before(
        self, rows: NDArray[np.int64], moments: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Training events of items before moments (milliseconds), both of one shape: (how many, time of the first, of the
        last), -1 where there is none."""
        first, end = self._events_between(rows, moments)
        number, step = end - first, len(self.times) + 1
        ends = np.minimum(first, len(self.times) - 1), np.maximum(end - 1, 0)
        oldest, newest = (np.where(number > 0, self.times[self.event_keys[at] % step], -1) for at in ends)
        return number, oldest, newest

    def num_before(self, rows: NDArray[np.int64], moments: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many training events of items were before moments."""
        first, end = self._events_between(rows, moments)
        return end - first

    def _events_between(
        self, rows: NDArray[np.int64], moments: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in `event_keys` those before the moments begin and end."""
        end = np.searchsorted(self.event_keys, rows * (len(self.times) + 1) + np.searchsorted(self.times, moments))
        return self._first_events[rows], end


def days(milliseconds: NDArray[Any]) -> NDArray[np.float32]:
    """Milliseconds as days."""
    return (milliseconds / _DAY_MS).astype(np.float32)


def fit_tables(data: Training, prices: NDArray[np.floating] | None = None) -> Tables:
    """Count the training sequences; `prices` [num_items] are in the shop's currency, NaN or 0: not known.

    The segments of users are added by `parts.profile.with_segments`.
    """
    _, items = flatten(data.sequences, data.num_items)
    counts = np.bincount(items, minlength=data.num_items)
    times, event_keys = _events(data, items)
    edges = transition_weights(data.sequences, data.num_items, 1)
    shares = follow_shares(edges)
    brand, leaf, categories = _side(data)
    log_prices = np.full(data.num_items, np.nan)
    if prices is not None:
        known = np.nan_to_num(prices) > 0
        log_prices[known] = np.log(np.asarray(prices, dtype=np.float64)[known])
    sold = np.bincount(leaf + 1, counts, minlength=1)
    vectors = np.zeros((data.num_items, 1)) if data.vectors is None else data.vectors
    return Tables(
        counts=_padded(counts.astype(np.float32), np.nan),
        is_head=_padded(popularity_groups(counts, _HEAD_SHARE)["head"], False),
        popularity_rank=_padded(_rank_within(counts, np.zeros(len(counts), dtype=np.int64)), np.nan),
        times=times,
        event_keys=event_keys,
        follow=_larger(shares),
        follow_counts=_larger(edges),
        hops=_larger(second_hop(shares, _MOST_TWO_HOPS)),
        together=_larger(
            shared_users(newest(data.sequences, _MOST_USER_ITEMS), data.num_items, kept=num_kept(data.num_items, 0))
        ),
        vectors=_padded(unit_rows(vectors), 0),
        brand=_padded(brand, -1),
        leaf=_padded(leaf, -1),
        categories=_padded(categories, -1),
        leaf_events=_padded(np.where(leaf < 0, np.nan, sold[leaf + 1]).astype(np.float32), np.nan),
        leaf_rank=_padded(_rank_within(counts, leaf), np.nan),
        prices=_padded(log_prices.astype(np.float32), np.nan),
        price_rank=_padded(_rank_within(log_prices, np.where(np.isnan(log_prices), -1, leaf)), np.nan),
        centres=np.empty((0, 0), dtype=np.float32),
        profile_mean=np.empty(0, dtype=np.float32),
        profile_scale=np.empty(0, dtype=np.float32),
    )


def _events(data: Training, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(times ascending, keys ascending), both int64 [E]; empty without real times."""
    nothing = np.empty(0, dtype=np.int64)
    if data.timestamps is None:
        return nothing, nothing
    when = np.concatenate([nothing, *data.timestamps]).astype(np.int64)
    if when.max(initial=0) < _POSITIONS_BELOW:
        return nothing, nothing
    order = np.argsort(when, kind="stable")
    place = np.empty(len(when), dtype=np.int64)
    place[order] = np.arange(len(when))
    return when[order], np.sort(items * (len(when) + 1) + place)


def _side(data: Training) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(brand [N], leaf [N], categories [N, D]), -1 for none."""
    if data.side is None:
        return (*np.full((2, data.num_items), -1, dtype=np.int64), np.full((data.num_items, 1), -1, dtype=np.int64))
    has = data.side.categories
    listed = np.diff(has.indptr)
    rows = np.repeat(np.arange(data.num_items), listed)
    place = np.arange(len(rows)) - has.indptr[rows]
    depth = min(_MOST_CATEGORIES, int(listed.max(initial=1)))
    categories = np.full((data.num_items, depth), -1, dtype=np.int64)
    # Numbers grow from general to specific as a catalogue names them first, so the last ones are kept.
    place = place - np.maximum(listed[rows] - depth, 0)
    kept = place >= 0
    categories[rows[kept], place[kept]] = has.indices[kept]
    return data.side.brand, data.side.leaf, categories


def _rank_within(values: NDArray[Any], group: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32 [N]: share of the other members of an item's group with a lower value, 0..1; NaN where the group is -1."""
    order = np.lexsort((values, group))
    sorted_group, sorted_values = group[order], values[order]
    start = np.searchsorted(sorted_group, sorted_group)
    size = np.searchsorted(sorted_group, sorted_group, side="right") - start
    new = np.r_[True, (np.diff(sorted_group) != 0) | (np.diff(sorted_values) != 0)] if len(order) else np.empty(0, bool)
    lowest = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0)) if len(order) else start
    rank = np.empty(len(order), dtype=np.float32)
    rank[order] = np.where(sorted_group < 0, np.nan, (lowest - start) / np.maximum(size - 1, 1))
    return rank


def _padded(array: NDArray[Any], value: Any) -> NDArray[Any]:
    """With a row for unknown items."""
    return np.concatenate([array, np.full((1, *array.shape[1:]), value, dtype=array.dtype)])


def _larger(matrix: sp.csr_array) -> sp.csr_array:
    """float32 with an empty row and column for unknown items, entries sorted."""
    matrix = sp.csr_array(matrix).astype(np.float32)
    matrix.sum_duplicates()
    indptr = np.append(matrix.indptr, matrix.indptr[-1])
    return sp.csr_array((matrix.data, matrix.indices, indptr), shape=(matrix.shape[0] + 1, matrix.shape[1] + 1))
