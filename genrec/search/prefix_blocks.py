"""The dense head's distribution by prefix for catalogues too large to hold a number for every user and item.

Logits are computed for a block of items at a time and summed up to their prefixes at once. What a search asks of states that
are too many to be held (whole ids, as a rule) is computed from their own items when it asks.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch

from genrec.search.prefixes import PrefixLogProbs, sum_by_parent
from genrec.search.trie import Trie

HELD_ENTRIES = 1 << 25  # users x states (128 MiB of float32)

ItemVectors = Callable[[torch.Tensor], torch.Tensor]  # item numbers int64[n] to float32[n, D]


class Mixture(NamedTuple):
    """A sparse distribution over items that takes part of the dense head's, by user."""

    share: torch.Tensor  # float32[B], 0..1
    rows: torch.Tensor  # int64[E], users, ascending
    items: torch.Tensor  # int64[E]; a user has an item once
    values: torch.Tensor  # float32[E], those of a user add up to 1


class BlockedLogProbs(PrefixLogProbs):
    """log q of prefixes from the vectors of items, without gradients."""

    def __init__(
        self,
        trie: Trie,
        hidden: torch.Tensor,
        vectors: ItemVectors,
        mixture: Mixture | None,
        held_entries: int,
    ) -> None:
        """`hidden` float32[B, D]: an item's logit is their product with its vector. At most about `held_entries` numbers are
        held at a time.
        """
        super().__init__(trie)
        self._hidden, self._vectors = hidden, vectors
        self._num_held = max(1, held_entries // len(hidden))  # states of a level, or items of a block
        self._most_gathered = max(1, held_entries // hidden.shape[1])  # pairs of a user and an item
        self._first = _first_leaves(trie)
        self._levels = self._sums()
        self._log_total = self._levels[0]  # [B, 1]
        self._sparse = None if mixture is None else ByLeaf(trie, mixture)
        if self._sparse is not None:
            self._levels = [self._sparse.mixed(self._dense(held), level) for level, held in enumerate(self._levels)]
        else:
            self._levels = [self._dense(held) for held in self._levels]

    def of_states(self, level: int, states: torch.Tensor) -> torch.Tensor:
        if level < len(self._levels):
            return self._levels[level].gather(1, states.clamp_min(0))
        return self._from_items(level, states)

    def _dense(self, log_sums: torch.Tensor) -> torch.Tensor:
        return log_sums - self._log_total

    def _sums(self) -> list[torch.Tensor]:
        """By level, as far as they are few enough to be held, log of the sum of exp(logit) over the items of every state."""
        trie = self._trie
        last = 0
        while last + 1 < trie.num_levels and trie.num_states(last + 1) <= self._num_held:
            last += 1
        first = self._first[last]
        parts = []
        for start, end in _runs(first, self._num_held):
            logits = self._hidden @ self._vectors(trie.leaf_items[int(first[start]) : int(first[end])]).T
            sizes = first[start + 1 : end + 1] - first[start:end]
            state = torch.arange(end - start, device=logits.device).repeat_interleave(sizes)
            parts.append(sum_by_parent(logits, state, end - start))
        levels = [torch.cat(parts, dim=1)]
        for level in reversed(range(last)):
            levels.insert(0, sum_by_parent(levels[0], trie.parents(level), trie.num_states(level)))
        return levels

    def _from_items(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """`of_states` from the items below each."""
        first = self._first[level]
        alive = states >= 0
        start = first[states.clamp_min(0)]
        sizes = torch.where(alive, first[states.clamp_min(0) + 1] - start, 0).flatten()
        group = torch.arange(states.numel(), device=states.device).repeat_interleave(sizes)
        before = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        leaf = start.flatten().repeat_interleave(sizes) + torch.arange(len(group), device=states.device) - before
        row = group // states.shape[1]
        found = self._log_probs(row, leaf)
        log_sums = sum_by_parent(found.unsqueeze(0), group, states.numel()).view(states.shape)
        return log_sums.masked_fill(~alive, 0.0)

    def _log_probs(self, row: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
        """log q, float32[n], of pairs of a user int64[n] and a whole id int64[n]."""
        distinct, place = leaf.unique(return_inverse=True)
        vectors = self._vectors(self._trie.leaf_items[distinct])
        parts = zip(row.split(self._most_gathered), place.split(self._most_gathered), strict=True)
        logits = torch.cat([(self._hidden[r] * vectors[p]).sum(1) for r, p in parts])
        found = logits - self._log_total[row, 0]
        return found if self._sparse is None else self._sparse.mixed_pairs(found, row, leaf)


class ByLeaf:
    """A mixture's distribution by whole ids, and by prefix."""

    def __init__(self, trie: Trie, mixture: Mixture) -> None:
        self._trie, self._num_leaves = trie, len(trie.leaf_items)
        leaf_of = torch.empty_like(trie.leaf_items)
        leaf_of[trie.leaf_items] = torch.arange(self._num_leaves, device=leaf_of.device)
        keys = mixture.rows * self._num_leaves + leaf_of[mixture.items]
        self._keys, order = keys.sort()
        self._share, self._values = mixture.share, mixture.values[order]

    def mixed(self, log_probs: torch.Tensor, level: int) -> torch.Tensor:
        """Of all states of a level, float32[B, S], the dense head's mixed with this distribution's."""
        row, state = self._keys // self._num_leaves, self._keys % self._num_leaves
        for above in reversed(range(level, self._trie.num_levels)):
            state = self._trie.parents(above)[state]
        place = row * log_probs.shape[1] + state
        added = torch.zeros_like(log_probs).view(-1).index_add_(0, place, self._values).view_as(log_probs)
        return _mix(log_probs, added, self._share.unsqueeze(1))

    def mixed_pairs(self, log_probs: torch.Tensor, row: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
        """Of pairs of a user and a whole id, float32[n]."""
        if not len(self._keys):
            return _mix(log_probs, torch.zeros_like(log_probs), self._share[row])
        keys = row * self._num_leaves + leaf
        at = torch.searchsorted(self._keys, keys).clamp_max(len(self._keys) - 1)
        return _mix(log_probs, torch.where(self._keys[at] == keys, self._values[at], 0.0), self._share[row])


def _mix(log_probs: torch.Tensor, values: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    mixed = (1 - share) * log_probs.exp() + share * values
    return mixed.clamp_min(torch.finfo(mixed.dtype).tiny).log()


def _first_leaves(trie: Trie) -> list[torch.Tensor]:
    """By level, int64[S + 1]: where the whole ids below every state begin; they are consecutive."""
    found = [torch.arange(trie.num_states(trie.num_levels) + 1, device=trie.device)]
    for level in reversed(range(trie.num_levels)):
        found.insert(0, found[0][trie.starts(level)])
    return found


def _runs(first: torch.Tensor, size: int) -> list[tuple[int, int]]:
    """Runs of states, (start, end), of about `size` whole ids each; a state alone may have more."""
    cuts = [0, *((first[1:] // size).diff().nonzero()[:, 0] + 1).tolist(), len(first) - 1]
    return [(start, end) for start, end in itertools.pairwise(cuts) if end > start]
