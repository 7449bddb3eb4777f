"""Which items a search may go to, as states of the trie: items closed to everyone, and what one row of a batch is denied or
limited to.

A prefix whose items are all denied is denied itself, so that no search runs into a dead end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from genrec.errors import DataError


class Subset(NamedTuple):
    """Some items of a catalogue, ready to be the only ones that a search may go to, at a cost that does not depend on how
    many they are. Closed items are none of them."""

    is_in: np.ndarray  # bool[N]
    counts: list[np.ndarray]  # int[S] by level from 0 on: items of it below every state
    masks: list[torch.Tensor]  # bool[S] by level from 1 on: there are any


Allowed = np.ndarray | Subset | None  # the only items of a row: their numbers, or a subset; None: all


@dataclass(frozen=True)
class Restriction:
    """Which states a row of a batch may go to: int64[B, M] by level, padded with -1.

    `banned` are taken away from every row; where `limited` bool[B] is set, only those of `only` are left. `subset_of`
    int64[B] is the row of `masks` (bool[F, S] by level) with the states that are left, of which row 0 has all.
    """

    banned: list[torch.Tensor]
    only: list[torch.Tensor]
    limited: torch.Tensor | None
    masks: list[torch.Tensor]
    subset_of: torch.Tensor | None

    def open(
        self, level: int, first: torch.Tensor, count: torch.Tensor, reached: torch.Tensor, there: torch.Tensor
    ) -> torch.Tensor:
        """Those of the children that are `there`, bool[B, W, C], which a row may go to.

        The `count` int64[B, W, 1] children of a prefix are states from `first` int64[B, W, 1] on; `reached` int64[B, W, C].
        """
        width = there.shape[-1]
        there = there & ~_mark(self.banned[level].unsqueeze(1) - first, count, width)
        if self.limited is not None:
            only = _mark(self.only[level].unsqueeze(1) - first, count, width)
            there &= only | ~self.limited[:, None, None]
        if self.subset_of is not None:
            there &= self.masks[level][self.subset_of[:, None, None], reached.clamp_min(0)]
        return there


class ItemPaths:
    """The states that lead to the items of a catalogue, on the host: `paths` int32[N, L + 1] from the root on, of `num_states`
    by level. `closed` bool[N] are items that no search may go to, None: there are none."""

    def __init__(self, paths: np.ndarray, num_states: list[int], closed: np.ndarray | None = None) -> None:
        self.paths, self.num_states, self.closed = paths, num_states, closed
        self._counts = self._counted(paths if closed is None else paths[~closed])

    def __len__(self) -> int:
        return len(self.paths)

    def closing(self, items: np.ndarray) -> "ItemPaths":
        """The same with these items closed, in place of those closed before."""
        closed = np.zeros(len(self), dtype=bool)
        closed[self._pairs([items])[1]] = True
        return ItemPaths(self.paths, self.num_states, closed if closed.any() else None)

    def closed_states(self, device: torch.device) -> list[torch.Tensor]:
        """bool[S] by level from 1 on: no item below is open; [] where nothing is closed."""
        return [] if self.closed is None else [torch.from_numpy(n == 0).to(device) for n in self._counts[1:]]

    def subset(self, items: np.ndarray, device: torch.device) -> Subset:
        """These items (int[n]), without those that are closed. Raises DataError for an item outside the catalogue."""
        is_in = np.zeros(len(self), dtype=bool)
        is_in[self._open_pairs([items])[1]] = True
        counts = self._counted(self.paths[is_in])
        return Subset(is_in, counts, [torch.from_numpy(count > 0).to(device) for count in counts[1:]])

    def restrict(
        self, banned: Sequence[np.ndarray] | None, allowed: Sequence[Allowed] | None, device: torch.device
    ) -> Restriction | None:
        """What `Trie.restrict` returns."""
        if banned is None and allowed is None:
            return None
        num_rows = len(banned) if banned is not None else len(allowed or [])
        rows, items = self._open_pairs(banned or [])
        if allowed is None:
            return Restriction(self._steps(self._whole(rows, items), num_rows, device), [], None, [], None)
        limited = np.array([isinstance(a, np.ndarray) for a in allowed], dtype=bool)
        only_rows, only_items = self._open_pairs([a if isinstance(a, np.ndarray) else _NOTHING for a in allowed])
        kept = ~np.isin(only_rows * len(self) + only_items, rows * len(self) + items)
        only = self._steps(self._prefixes(only_rows[kept], only_items[kept]), num_rows, device)
        free = ~limited[rows]  # bans of limited rows are already taken out of `only`
        rows, items = rows[free], items[free]
        subsets, subset_of = _numbered(allowed)
        for number, subset in enumerate(subsets, 1):  # what a subset lacks is denied by it already
            inside = (subset_of[rows] != number) | subset.is_in[items]
            rows, items = rows[inside], items[inside]
        return Restriction(
            self._steps(self._whole(rows, items, subsets, subset_of), num_rows, device),
            only,
            torch.from_numpy(limited).to(device, non_blocking=True) if limited.any() else None,
            [
                torch.stack([torch.ones_like(masks[0]), *masks])
                for masks in zip(*(s.masks for s in subsets), strict=True)
            ],
            torch.from_numpy(subset_of).to(device, non_blocking=True) if subsets else None,
        )

    def _counted(self, paths: np.ndarray) -> list[np.ndarray]:
        """int32[S] by level: how many of the paths go through every state."""
        return [np.bincount(paths[:, n], minlength=size).astype(np.int32) for n, size in enumerate(self.num_states)]

    def _open_pairs(self, lists: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """`_pairs` without the items that are closed to every row."""
        rows, items = self._pairs(lists)
        if self.closed is None:
            return rows, items
        is_open = ~self.closed[items]
        return rows[is_open], items[is_open]

    def _pairs(self, lists: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Distinct (row, item) pairs of ragged lists, int64 each."""
        lengths = [len(x) for x in lists]
        items = np.concatenate([np.asarray(x, dtype=np.int64) for x in lists]) if lists else _NOTHING
        if items.size and (items.min() < 0 or items.max() >= len(self)):
            raise DataError(f"item {items.min()}..{items.max()} is outside the catalogue 0..{len(self) - 1}")
        distinct = np.unique(np.repeat(np.arange(len(lists)), lengths) * len(self) + items)
        return distinct // len(self), distinct % len(self)

    def _prefixes(self, rows: np.ndarray, items: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """By level from 1 on: distinct (row, state) on the way to the pairs, and how many of them go through it."""
        found = []
        for level in range(1, len(self.num_states)):
            num_states = self.num_states[level]
            key, count = np.unique(rows * num_states + self.paths[items, level], return_counts=True)
            found.append((key // num_states, key % num_states, count))
        return found

    def _whole(
        self, rows: np.ndarray, items: np.ndarray, subsets: Sequence[Subset] = (), subset_of: np.ndarray | None = None
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """`_prefixes` of which a row has every item: every open one, or of its subset."""
        kept = []
        for level, (row, state, count) in enumerate(self._prefixes(rows, items), 1):
            every = self._counts[level][state]
            for number, subset in enumerate(subsets, 1):
                of_it = subset_of[row] == number  # type: ignore[index]
                every[of_it] = subset.counts[level][state[of_it]]
            whole = count == every
            kept.append((row[whole], state[whole], count[whole]))
        return kept

    def _steps(
        self, prefixes: list[tuple[np.ndarray, np.ndarray, np.ndarray]], num_rows: int, device: torch.device
    ) -> list[torch.Tensor]:
        """By level, the states of every row, int64[B, M], padded with -1."""
        steps = []
        for row, state, _ in prefixes:
            step = np.full((num_rows, max(1, _widest(row))), -1, dtype=np.int64)
            step[row, np.arange(len(row)) - np.searchsorted(row, row)] = state
            steps.append(torch.from_numpy(step).to(device, non_blocking=True))
        return steps


_NOTHING = np.empty(0, np.int64)


def _numbered(allowed: Sequence[Allowed]) -> tuple[list[Subset], np.ndarray]:
    """The different subsets of the rows, and by row, int64[B], the number of its subset from 1 on; 0: none."""
    of_rows = [a if isinstance(a, Subset) else None for a in allowed]
    distinct = {id(subset): subset for subset in of_rows if subset is not None}
    numbers = {key: number for number, key in enumerate(distinct, 1)}
    return list(distinct.values()), np.array([numbers.get(id(subset), 0) for subset in of_rows], dtype=np.int64)


def _widest(sorted_rows: np.ndarray) -> int:
    return int(np.bincount(sorted_rows).max()) if sorted_rows.size else 0


def _mark(places: torch.Tensor, count: torch.Tensor, width: int) -> torch.Tensor:
    """bool[B, W, width]: True at those of `places` [B, W, M] that are in 0..count - 1, `count` [B, W, 1] <= width."""
    marks = torch.zeros(*places.shape[:2], width + 1, dtype=torch.bool, device=places.device)
    inside = (places >= 0) & (places < count)
    return marks.scatter_(2, torch.where(inside, places, width), True)[..., :-1]  # the last column takes the rest
