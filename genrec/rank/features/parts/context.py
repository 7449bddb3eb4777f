"""What a group of features is computed from."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.queries import Queries
from genrec.rank.features.parts.tables import Tables

Columns = dict[str, NDArray[np.float32]]  # features by name, [R] each
MAX_HISTORY = 20  # most recent events that a candidate is compared with
_CELLS = 1 << 22  # values held at once: bounds memory


@dataclass(frozen=True)
class Beams:
    """What the generator knows of R candidates; L levels of its ids."""

    steps: NDArray[np.float32]  # [R, L], log-probability of each code in the search; NaN: not found by it
    dense: NDArray[np.float32]  # [R, L], of the dense head alone; NaN without one


class Block(NamedTuple):
    """u queries whose histories are equally long, H items, with at most C candidates each."""

    queries: NDArray[np.int64]  # [u]
    rows: NDArray[np.int64]  # [u, C], rows of the candidates; 0 where `inside` is False
    inside: NDArray[np.bool_]  # [u, C]
    items: NDArray[np.int64]  # [u, C], rows of the tables
    history: NDArray[np.int64]  # [u, H], rows of the tables, newest first
    is_all: bool = False  # these are all candidates, in their order

    def put(self, column: NDArray[np.float32], values: NDArray) -> None:
        """Write values [u, C] where they belong in a column [R]."""
        if self.is_all:
            column[:] = values[0]
            return
        column[self.rows[self.inside]] = np.broadcast_to(values, self.inside.shape)[self.inside]


@dataclass(frozen=True)
class Context:
    """Queries, the tables their features are looked up in and, where there is a generator, what it knows."""

    tables: Tables
    queries: Queries
    channels: tuple[str, ...] = ()  # whose scores the candidates have
    num_levels: int = 0  # of the generator's ids; 0: there is none
    beams: Beams | None = field(default=None, repr=False)
    _of_one: dict[int, Block] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [U], of the histories."""
        return np.fromiter((len(h) for h in self.queries.histories), dtype=np.int64, count=len(self.queries))

    def rows(self, candidates: Candidates) -> NDArray[np.int64]:
        """int64 [R]: rows of the tables of the candidates."""
        if len(self.queries) == 1 and len(candidates):
            return self._block_of_one(candidates).items[0]
        return self.tables.rows(candidates.item)

    def of_items(self, candidates: Candidates, columns: "OfItems") -> Columns:
        """Columns that follow from an item and a moment alone: `columns`(tables, rows [R], moments [R]), or the same looked
        up in a table of all items where the moment is that of all requests.
        """
        rows, now = self.rows(candidates), self.queries.now
        if self._is_served:
            names, values = self.tables.kept(_of_all_items(columns))
            return dict(zip(names, values[:, rows], strict=True))
        return columns(self.tables, rows, None if now is None else now[candidates.query])

    @cached_property
    def _is_served(self) -> bool:
        moment, now = self.tables.served_moment, self.queries.now
        return now is None if moment is None else now is not None and bool((now == moment).all())

    def histories(self, queries: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """int64 [u, length]: rows of the tables of the last events, newest first, of histories that have as many."""
        if not length or not len(queries):
            return np.empty((len(queries), length), dtype=np.int64)
        listed = [np.asarray(self.queries.histories[q])[: -length - 1 : -1] for q in queries.tolist()]
        return self.tables.rows(np.stack(listed))

    def blocks(self, candidates: Candidates, width: int | None = None) -> Iterator[Block]:
        """All candidates, block by block; `width` values are held for each of them (by default one a history item)."""
        if len(self.queries) == 1 and len(candidates):
            yield self._block_of_one(candidates)
            return
        starts = candidates.starts
        sizes, read = np.diff(starts), np.minimum(self.lengths, MAX_HISTORY)
        for length in np.unique(read[sizes > 0]).tolist():
            queries = np.flatnonzero((read == length) & (sizes > 0))
            most = int(sizes[queries].max())
            step = max(1, _CELLS // (most * max(1, length if width is None else width)))
            for first in range(0, len(queries), step):
                part = queries[first : first + step]
                place = np.arange(int(sizes[part].max()))
                inside = place < sizes[part][:, None]
                rows = np.where(inside, starts[part][:, None] + place, 0)
                items = self.tables.rows(candidates.item[rows])
                yield Block(part, rows, inside, items, self.histories(part, length))

    def _block_of_one(self, candidates: Candidates) -> Block:
        """The candidates of the only query: made once for all groups of features."""
        if id(candidates) not in self._of_one:
            only, rows = np.zeros(1, dtype=np.int64), np.arange(len(candidates))[None]
            items = self.tables.rows(candidates.item)[None]
            history = self.histories(only, min(int(self.lengths[0]), MAX_HISTORY))
            self._of_one[id(candidates)] = Block(
                only, rows, np.ones_like(rows, dtype=bool), items, history, is_all=True
            )
        return self._of_one[id(candidates)]


# Tables, their rows [R] and moments [R] (None: not known) -> columns [R]
OfItems = Callable[[Tables, NDArray[np.int64], NDArray[np.int64] | None], Columns]


@functools.cache
def _of_all_items(columns: OfItems) -> Callable[[Tables], tuple[tuple[str, ...], NDArray[np.float32]]]:
    """Gives the names of the columns and the values of all rows of tables at the moment of requests, float32 [F, N + 1]."""

    def made(tables: Tables) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        rows, moment = np.arange(tables.num_items + 1), tables.served_moment
        found = columns(tables, rows, None if moment is None else np.full(len(rows), moment))
        return tuple(found), np.stack([*found.values()])

    return made


def empty(candidates: Candidates, names: tuple[str, ...] | list[str]) -> dict[str, NDArray[np.float32]]:
    """Columns of missing values, float32 [R] by name."""
    return dict(zip(names, np.full((len(names), len(candidates)), np.nan, dtype=np.float32), strict=True))
