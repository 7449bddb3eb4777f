"""Rings of the transition graph around the last items, ranked by text: an untrained heuristic.

Han et al., "An embarrassingly simple graph heuristic reveals shortcut-solvable benchmarks for sequential recommendation"
(arXiv 2605.07125), their TGH-1 (one source) and TGH-2 (two). An edge i -> j says that j came right after i in a training
sequence; ring r around a source, which is one of the last items of the history, is what r edges reach and fewer do not.
Each ring of each source has a budget of places in the list, and fills it by

    cosine of the text vectors of source and candidate + (ring 1 only) edge_weight * log(1 + n_ij) / max_j log(1 + n_ij)

where n_ij counts the edge. What the budgets leave comes after them, ring by ring, then the rest of the catalogue by
its similarity to the last item (the paper fills a short list so, or at random). Items of the history take no place of a
budget, so that a list without them is as long as the budgets say.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.errors import ConfigError, DataError
from genrec.recall.parts.channel import Channel
from genrec.recall.parts.index_files import State
from genrec.recall.parts.ranking import top_k, top_positive
from genrec.recall.parts.ring_lists import FAR, RingWalk, largest
from genrec.recall.parts.rings_of_source import rings_of
from genrec.recall.parts.scorer import History, Training, flatten, items_of_one, unit_rows
from genrec.recall.parts.sparse import of_rows
from genrec.recall.transitions import transition_weights
from genrec.variants import setting

_HELD = 1 << 22  # items of rings that are held for the sources of later requests, at most


@dataclass(frozen=True)
class Config:
    """Rings of the transition graph."""

    budgets: tuple[tuple[int, ...], ...] = setting(
        ((7, 2, 1),),
        "Places by source (the last item, the one before it, ...) and by ring (1, 2, ...). [[7, 2, 1]] is the paper's "
        "TGH-1, [[5, 1], [3, 1]] its TGH-2.",
    )
    edge_weight: float = setting(0.5, "Weight of the edge's count beside the similarity in ring 1.", ge=0)


CHOICES = {"budgets": (((7, 2, 1),), ((5, 1), (3, 1)), ((10,),)), "edge_weight": (0.5, 1.0, 2.0, 4.0)}
RANKING = ("budgets", "edge_weight")
_POOLED_ABOVE = 50_000  # items: scores of all of them for each history take too long
_CELLS = 1 << 22  # similarities of sources to all items that are held at once: bounds memory


class Rings(Channel):
    """Scorer over the graph.

    Args:
        edges: float32 [num_items, num_items], how often the column came right after the row.
        vectors: float32 [num_items, V], unit rows.
    """

    def __init__(self, edges: sp.csr_array, vectors: NDArray[np.float32], options: Config) -> None:
        if not np.isfinite(vectors).all():
            raise DataError(f"{__name__}: text vectors are not finite; recompute the embed stage")
        self.edges, self.vectors = edges, vectors
        self.budgets, self.edge_weight = options.budgets, options.edge_weight
        self.num_items = edges.shape[0]
        counts = sp.csr_array((np.log1p(edges.data), edges.indices, edges.indptr), shape=edges.shape)
        largest = counts.max(axis=1).toarray() if counts.nnz else np.zeros(self.num_items)
        self.strength = sp.csr_array(sp.diags_array(1 / np.where(largest > 0, largest, 1)) @ counts).astype(np.float32)
        most = max((len(budget) for budget in self.budgets), default=0)
        held = max(1, _HELD // max(1, self.num_items * most))
        self._rings_of = functools.lru_cache(held)(
            functools.partial(rings_of, edges, self.strength, vectors, self.edge_weight)
        )

    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, num_items]: places from the back plus a part in [0, 1) by similarity; zeros without a history."""
        num_slots = sum(len(budget) for budget in self.budgets)
        shape = (len(histories), self.num_items)
        # The slot that lists an item: below num_slots within a budget, then what these leave, at last the rest.
        slot, within = np.full(shape, 2 * num_slots, dtype=np.int32), np.zeros(shape, dtype=np.float32)
        seen = np.zeros(shape, dtype=bool)
        seen[flatten(histories, self.num_items)] = True
        first = 0
        for age, budgets in enumerate(self.budgets):
            rows = np.flatnonzero([len(history) > age for history in histories])
            sources = np.array([histories[row][-1 - age] for row in rows.tolist()], dtype=np.int64)
            closeness = self.vectors[sources] @ self.vectors.T
            if age == 0:
                within[rows] = closeness
            listed = slot[rows], within[rows]
            first_ring = closeness.copy()
            of_source, reached, strength = of_rows(self.strength, sources)
            first_ring[of_source, reached] += self.edge_weight * strength
            for ring, mask in enumerate(self._rings(sources, len(budgets))):
                value = closeness if ring else first_ring
                _fill(*listed, mask, seen[rows], value, budgets[ring], first + ring, num_slots)
            slot[rows], within[rows] = listed
            first += len(budgets)
        part = (within + 1) / (2.001 + self.edge_weight)  # the largest value is 1 + edge_weight
        filled = np.array([len(history) > 0 for history in histories], dtype=bool)[:, None]
        return np.where(filled, 2 * num_slots - slot + np.clip(part, 0, 1), 0).astype(np.float32)

    def signals(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """`scores`, with -inf outside of the rings: there the similarity of texts alone ranks, below 1."""
        scores = super().signals(histories)
        scores[scores < 1] = -np.inf
        return scores

    def _top(
        self, histories: Sequence[History], n: int, banned: Sequence[History] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if len(histories) != 1:
            return super()._top(histories, n, banned)
        scores = self._in_rings(items_of_one(histories[0], self.num_items))
        if banned is not None:
            scores[items_of_one(banned[0], self.num_items)] = 0
        return top_positive(scores, n)

    def _in_rings(self, history: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [num_items]: `scores` of one history, 0 outside of the rings. What a source's rings hold, and in which order,
        is the same for every history, and kept.
        """
        num_slots = sum(len(budget) for budget in self.budgets)
        slot, within = np.full(self.num_items, 2 * num_slots, dtype=np.int32), np.zeros(self.num_items, np.float32)
        seen = np.zeros(self.num_items, dtype=bool)
        seen[history] = True
        number = 0
        for source, budgets in zip(history[::-1].tolist(), self.budgets, strict=False):
            for (items, values), budget in zip(self._rings_of(source, len(budgets)), budgets, strict=True):
                before, of_history = slot[items], seen[items]
                taken = before >= num_slots
                free = np.flatnonzero(taken & ~of_history)[:budget]
                taken &= of_history
                taken[free] = True
                left = (before == 2 * num_slots) & ~taken
                slot[items[left]], slot[items[taken]] = num_slots + number, number
                changed = taken | left
                within[items[changed]] = values[changed]
                number += 1
        part = (within + 1) / (2.001 + self.edge_weight)
        return np.where(slot < 2 * num_slots, 2 * num_slots - slot + np.clip(part, 0, 1), 0).astype(np.float32)

    def with_options(self, options: Config) -> "Rings":
        """The same graph with the budgets and the edge weight of the options."""
        return _rings(self.edges, self.vectors, options)

    def state(self) -> State:
        """The graph, the texts, and the options of the ranking."""
        settings = {"budgets": [list(budget) for budget in self.budgets], "edge_weight": self.edge_weight}
        return {"edges": self.edges, "vectors": self.vectors}, settings

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "Rings":
        """The channel that has this state."""
        budgets = tuple(tuple(int(places) for places in budget) for budget in settings["budgets"])
        return _rings(arrays["edges"], arrays["vectors"], Config(budgets, float(settings["edge_weight"])))

    def _rings(self, sources: NDArray[np.int64], count: int) -> list[NDArray[np.bool_]]:
        """bool [b, num_items] by ring: what is reached by that many edges from each source, and by no fewer."""
        visited = np.zeros((len(sources), self.num_items), dtype=bool)
        visited[np.arange(len(sources)), sources] = True
        rings = [visited]
        for _ in range(count):
            reached = self._followers(rings[-1])
            rings.append(reached & ~visited)
            visited = visited | reached
        return rings[1:]

    def _followers(self, items: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """bool [b, num_items]: what one edge leads to from some of the items [b, num_items]."""
        return (sp.csr_array(items.astype(np.float32)) @ self.edges).toarray() > 0


class RingsOfMany(Rings):
    """`Rings` of a large catalogue: lists are made from a pool of items, not from scores of all."""

    def __init__(self, edges: sp.csr_array, vectors: NDArray[np.float32], options: Config) -> None:
        super().__init__(edges, vectors, options)
        self._walk = RingWalk(edges)

    def best(self, histories: Sequence[History], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The n best of all items for each history, as `scores` ranks them: (items int32 [b, n], scores [b, n])."""
        items = np.tile(np.arange(n, dtype=np.int32), (len(histories), 1))  # of an empty history: all score zero
        values = np.zeros((len(histories), n), dtype=np.float32)
        flatten(histories, self.num_items)  # checks the items
        filled = [row for row, history in enumerate(histories) if len(history)]
        at_once = max(1, _CELLS // (self.num_items * max(1, len(self.budgets))))
        for start in range(0, len(filled), at_once):
            rows = filled[start : start + at_once]
            sources = [[int(item) for item in histories[row][: -1 - len(self.budgets) : -1]] for row in rows]
            closeness = self.vectors[[item for of_row in sources for item in of_row]] @ self.vectors.T
            first = 0
            for row, of_row in zip(rows, sources, strict=True):
                close = closeness[first : first + len(of_row)]
                items[row], values[row] = self._list(np.asarray(histories[row]), of_row, close, n)
                first += len(of_row)
        return items, values

    def _list(
        self, history: NDArray[np.integer], sources: Sequence[int], closeness: NDArray[np.float32], n: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """`best` of one history; `closeness` [sources, num_items]."""
        # Of a ring, so many places may be before the list ends: the list itself, what other rings took, what is seen.
        most = n + len(history) + sum(map(sum, self.budgets))
        margin = (2.001 + self.edge_weight) * 2.0**-19  # scores that near are equal in float32, and ranked by number
        pool, rings, firsts = [history.astype(np.int64)], [], []
        for source, close, budgets in zip(sources, closeness, self.budgets, strict=False):
            walked = self._walk.walk(source, len(budgets))
            ring, value = walked.ring, close.copy()
            _, reached, strength = of_rows(self.strength, np.array([source]))
            value[reached] += self.edge_weight * strength
            for number in range(1, len(budgets) + 1):
                if number == len(budgets) and not walked.complete:
                    members = self._walk.last_by_value(ring, number, close, most, margin, pool[0])
                    ring = ring.copy()
                    ring[members] = number
                else:
                    members = np.flatnonzero(ring == number)
                of_members = (value if number == 1 else close)[members]
                pool.append(members[largest(of_members, most, margin)])
            rings.append(ring)
            firsts.append(value)
        ringed = np.unique(np.concatenate(pool))
        if np.count_nonzero([(ring[ringed] % FAR != 0) for ring in rings], axis=0).astype(bool).sum() < n:
            far = np.flatnonzero(np.all([(ring == FAR) | (ring == 0) for ring in rings], axis=0))
            ringed = np.union1d(ringed, far[largest(closeness[0][far], most, margin)])
        return self._ranked(ringed, history, rings, closeness, firsts, n)

    def _ranked(
        self,
        pool: NDArray[np.int64],
        history: NDArray[np.integer],
        rings: Sequence[NDArray[np.uint8]],
        closeness: NDArray[np.float32],
        firsts: Sequence[NDArray[np.float32]],
        n: int,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The n best of a pool int64 [P], ascending, by what is known of all items for each source."""
        num_slots = sum(len(budget) for budget in self.budgets)
        slot = np.full((1, len(pool)), 2 * num_slots, dtype=np.int32)
        within, seen, first = closeness[:1, pool].copy(), np.isin(pool, history)[None], 0
        for ring, close, value, budgets in zip(rings, closeness, firsts, self.budgets, strict=False):
            for number, budget in enumerate(budgets, start=1):
                of_ring = (value if number == 1 else close)[pool][None]
                _fill(slot, within, (ring[pool] == number)[None], seen, of_ring, budget, first + number - 1, num_slots)
            first += len(budgets)
        part = np.clip((within + 1) / (2.001 + self.edge_weight), 0, 1)
        places, scores = top_k((2 * num_slots - slot + part).astype(np.float32), n)
        return np.where(places < 0, -1, pool[places])[0], scores[0]


def _rings(edges: sp.csr_array, vectors: NDArray[np.float32], options: Config) -> Rings:
    return (Rings if edges.shape[0] <= _POOLED_ABOVE else RingsOfMany)(edges, vectors, options)


def _fill(
    slot: NDArray[np.int32],
    within: NDArray[np.float32],
    ring: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    value: NDArray[np.float32],
    budget: int,
    number: int,
    num_slots: int,
) -> None:
    """Give the best items of a ring its slot `number`, in place; all arrays are [b, num_items]."""
    free = ring & (slot >= num_slots)
    picked, _ = top_k(np.where(free & ~seen, value, -np.inf).astype(np.float32), budget)
    rows, places = np.nonzero(picked >= 0)
    taken = free & seen
    taken[rows, picked[rows, places]] = True
    left = ring & ~taken & (slot == 2 * num_slots)
    slot[taken], slot[left] = number, num_slots + number
    changed = taken | left
    within[changed] = value[changed]


load = Rings.load


def fit(data: Training, options: Config) -> Rings:
    """The graph of the training sequences.

    Raises:
        ConfigError: a budget is negative, or there is none.
        DataError: there are no text vectors, or an item outside the catalogue.
    """
    if not any(options.budgets) or min(places for budget in options.budgets for places in budget) < 0:
        raise ConfigError(
            f"transition_rings: budgets {options.budgets} must hold places, 0 or more, for one ring at least; "
            "try [[7, 2, 1]]"
        )
    edges = transition_weights(data.sequences, data.num_items, 1)
    if data.vectors is None or len(data.vectors) != data.num_items:
        raise DataError(
            f"baseline transition_rings: needs the vectors of all {data.num_items} items, from the embed stage"
        )
    return _rings(edges, unit_rows(data.vectors), options)
