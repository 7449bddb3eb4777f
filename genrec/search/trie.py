"""The catalogue's semantic ids as a table of integer states: which codes may follow a prefix, and which item a
complete id is.

A state is the rank of a prefix among all distinct prefixes of its length, in lexicographic order; the root is
state 0 and a state of the last level is a complete id. Levels with few states are dense tables [states, K]; larger
ones are sorted keys (state * K + code), where a step is a binary search and the codes of a state are a contiguous
run (CSR), as in the table-driven constrained decoding of youtube/static-constraint-decoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from genrec.errors import DataError
from genrec.search.restriction import Allowed, ItemPaths, Restriction, Subset

_DENSE_ENTRIES = 1 << 24  # 64 MiB of int32: a level above this is searched instead of tabulated


@dataclass(frozen=True)
class _Level:
    """Transitions from the states of one level to the next level's, whose rank is the position in `keys`."""

    keys: torch.Tensor  # int64[S_next], sorted: state * K + code
    codes: torch.Tensor  # int64[S_next], the code alone
    starts: torch.Tensor  # int64[S + 1], run of `keys` of each state
    table: torch.Tensor | None  # int32[S, K], next state or -1
    shared: torch.Tensor  # bool[S]: more than one item has the prefix
    max_children: int


class Children(NamedTuple):
    """What follows W prefixes of B rows: at most C codes each, in order; places without a child hold -1."""

    codes: torch.Tensor  # int64[B, W, C]
    states: torch.Tensor  # int64[B, W, C], that the codes lead to
    allowed: torch.Tensor  # bool[B, W, C]: there is a child, and no restriction closes it


class Trie:
    """Prefix states of N unique semantic ids of L levels and K codes. Build it with `from_sids`."""

    def __init__(self, levels: list[_Level], paths: ItemPaths, leaf_items: torch.Tensor, num_codes: int) -> None:
        self._levels = levels
        self._paths = paths
        self._leaf_items = leaf_items  # int64[N]
        self._closed = paths.closed_states(leaf_items.device)
        self.num_codes = num_codes

    @classmethod
    def from_sids(
        cls,
        sids: np.ndarray,
        num_codes: int,
        device: torch.device | str | None = None,
        dense_entries: int = _DENSE_ENTRIES,
    ) -> "Trie":
        """Tables for `sids`, int[N, L], row i being item i; levels up to `dense_entries` entries are dense.

        Raises DataError when there is no item, a code is outside 0..K-1, or two items share an id.
        """
        sids = np.ascontiguousarray(np.asarray(sids, dtype=np.int64))
        if sids.ndim != 2 or sids.size == 0:
            raise DataError(f"semantic ids: expected a table items x levels with rows, got shape {sids.shape}")
        if sids.min() < 0 or sids.max() >= num_codes:
            raise DataError(f"semantic ids: codes {sids.min()}..{sids.max()} are not all in 0..{num_codes - 1}")
        order = np.lexsort(sids.T[::-1])
        ranked = sids[order]
        num_items, num_levels = sids.shape
        states = np.zeros((num_items, num_levels + 1), dtype=np.int64)  # by rank
        is_new = np.zeros(num_items, dtype=bool)
        levels = []
        for level in range(num_levels):
            is_new[1:] |= ranked[1:, level] != ranked[:-1, level]
            states[:, level + 1] = np.cumsum(is_new)
            first = np.flatnonzero(np.concatenate([[True], is_new[1:]]))
            keys = states[first, level] * num_codes + ranked[first, level]
            below = np.bincount(states[:, level])
            levels.append(_build_level(keys, below, num_codes, dense_entries, device))
        if int(states[-1, -1]) + 1 != num_items:
            twin = int(np.flatnonzero(~is_new[1:])[0])
            a, b = sorted((int(order[twin]), int(order[twin + 1])))
            raise DataError(
                f"semantic ids: items {a} and {b} share the id {tuple(sids[a].tolist())}; "
                "repair collisions in the sid stage first"
            )
        paths = np.empty(states.shape, dtype=np.int32)
        paths[order] = states
        num_states = [1, *(len(level.keys) for level in levels)]
        return cls(levels, ItemPaths(paths, num_states), torch.from_numpy(order.astype(np.int64)).to(device), num_codes)

    @property
    def num_items(self) -> int:
        return len(self._paths)

    @property
    def num_levels(self) -> int:
        return len(self._levels)

    @property
    def device(self) -> torch.device:
        return self._leaf_items.device

    def num_states(self, level: int) -> int:
        """Distinct prefixes of `level` codes; level 0 is the root alone."""
        return self._paths.num_states[level]

    def closing(self, items: np.ndarray) -> "Trie":
        """The same trie, tables shared, with these items (int[n]) closed to every search, in place of those closed before.

        What they had of a distribution they keep: closing changes what a search may return, not how anything is scored.
        It costs a search the same however many are closed. Raises DataError for an item outside the catalogue.
        """
        return Trie(self._levels, self._paths.closing(items), self._leaf_items, self.num_codes)

    def subset(self, items: np.ndarray) -> Subset:
        """These items (int[n]) to limit rows of searches to, in `restrict`: for many items, where numbers take long.

        Raises DataError for an item outside the catalogue.
        """
        return self._paths.subset(items, self.device)

    def to(self, device: torch.device | str) -> "Trie":
        """The same trie with its tables on `device`."""
        if torch.device(device) == self.device:
            return self
        levels = [
            _Level(
                lv.keys.to(device),
                lv.codes.to(device),
                lv.starts.to(device),
                None if lv.table is None else lv.table.to(device),
                lv.shared.to(device),
                lv.max_children,
            )
            for lv in self._levels
        ]
        return Trie(levels, self._paths, self._leaf_items.to(device), self.num_codes)

    def advance(self, level: int, state: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """The states after appending `code` to `state` (both int64, same shape, `level` codes so far); -1 where no
        item has that prefix or the state was -1 already."""
        lv = self._levels[level]
        if lv.table is not None:
            reached = lv.table[state.clamp_min(0), code].to(torch.int64)
        else:
            key = state.clamp_min(0) * self.num_codes + code
            place = torch.searchsorted(lv.keys, key).clamp_max(len(lv.keys) - 1)
            reached = torch.where(lv.keys[place] == key, place, -1)
        return torch.where(state < 0, -1, reached)

    def children(self, level: int, state: torch.Tensor, restriction: Restriction | None = None) -> Children:
        """The codes that may follow `state` int64[B, W] of `level` codes, and the states they lead to.

        C is the most that follow any state of this level. A restriction closes children, it does not remove them: what
        follows a prefix is the catalogue's matter.
        """
        lv = self._levels[level]
        first = lv.starts[state.clamp_min(0)]
        count = torch.where(state < 0, 0, lv.starts[state.clamp_min(0) + 1] - first).unsqueeze(-1)
        first = first.unsqueeze(-1)
        place = torch.arange(lv.max_children, device=state.device)
        there = place < count
        reached = (first + place).masked_fill_(~there, -1)
        codes = lv.codes.take(reached.clamp_min(0)).masked_fill_(~there, -1)
        if self._closed:
            there &= ~self._closed[level].take(reached.clamp_min(0))
        if restriction is not None:
            there = restriction.open(level, first, count, reached, there)
        return Children(codes, reached, there)

    def shared(self, level: int, state: torch.Tensor) -> torch.Tensor:
        """Whether more than one item has the prefix, bool as `state` int64[...] of `level` codes; of a dead state, False.

        Closed items count: they keep their share of what may follow.
        """
        return self._levels[level].shared[state.clamp_min(0)] & (state >= 0)

    def codes(self, level: int) -> torch.Tensor:
        """The last code of every state of `level` + 1 codes, int64[S]."""
        return self._levels[level].codes

    def starts(self, level: int) -> torch.Tensor:
        """For every state of `level` codes, and one more, int64[S + 1], where the run of the states that follow it begins."""
        return self._levels[level].starts

    def parents(self, level: int) -> torch.Tensor:
        """For every state of `level` + 1 codes, int64[S], the state of its first `level` codes."""
        return self._levels[level].keys // self.num_codes

    @property
    def leaf_items(self) -> torch.Tensor:
        """The item of every last-level state, int64[N]."""
        return self._leaf_items

    def items(self, state: torch.Tensor) -> torch.Tensor:
        """Item indices of last-level states, int64 of the same shape; -1 stays -1."""
        return torch.where(state < 0, -1, self._leaf_items[state.clamp_min(0)])

    def restrict(
        self, banned: Sequence[np.ndarray] | None, allowed: Sequence[Allowed] | None = None
    ) -> Restriction | None:
        """Prepare item-level bans (and, by row, the only items allowed) for a batch.

        `banned[b]` and `allowed[b]` hold item indices, in any order, repeats welcome; of `allowed`, None allows all, and many
        items are better a `subset` of this trie. A prefix all of whose items are banned is banned itself, so a search
        never runs into a dead end. Raises DataError for an item outside the catalogue.
        """
        return self._paths.restrict(banned, allowed, self.device)


def _build_level(keys: np.ndarray, below: np.ndarray, num_codes: int, dense_entries: int, device) -> _Level:
    """`keys` int64[S_next]; `below` int64[S], items with the prefix of every state."""
    num_states = len(below)
    starts = np.searchsorted(keys, np.arange(num_states + 1) * num_codes)
    table = None
    if num_states * num_codes <= dense_entries:
        dense = np.full(num_states * num_codes, -1, dtype=np.int32)
        dense[keys] = np.arange(len(keys))
        table = torch.from_numpy(dense.reshape(num_states, num_codes)).to(device)
    return _Level(
        torch.from_numpy(keys).to(device),
        torch.from_numpy(keys % num_codes).to(device),
        torch.from_numpy(starts).to(device),
        table,
        torch.from_numpy(below > 1).to(device),
        int(np.diff(starts).max()),
    )
