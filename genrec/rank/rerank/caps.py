"""Caps: at most so many items of a category and of a brand in the list, and repeats that stand apart.

Places go to the first candidate that the caps still allow. Where this leaves places empty although another choice would
fill them (an item that uses up a category and a brand at once), items are exchanged along shortest augmenting paths, which
gives as many as the caps allow. Repeats of a category are then spread: a place goes to the first chosen item whose category
is not among the `spread` items above it.
"""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts.lists import Ints, Lists, Reordered, by_place
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Caps by category and brand."""

    category: int = setting(3, "Items of one category in the list at most; 0: no cap.", ge=0)
    brand: int = setting(0, "Items of one brand in the list at most; 0: no cap.", ge=0)
    spread: int = setting(
        0, "Items of other categories between two of the same one, where the chosen items allow it.", ge=0
    )


def tune(lists: Lists, options: Config, k: int, seed: int) -> "Caps":
    """Nothing is learned."""
    return Caps(options)


def restore(state: dict[str, Any], options: Config) -> "Caps":
    """From `Caps.state`."""
    return Caps(options)


class Caps:
    """A re-ranker. Items without a category (a brand) are not capped by it."""

    def __init__(self, options: Config) -> None:
        self.options = options

    def rerank(self, lists: Lists, k: int) -> Reordered:
        """The first k places under the caps. Lists whose caps leave places empty are filled up in order, and counted."""
        groups = [
            (lists.of_items(codes, -1), cap)
            for codes, cap in ((lists.facts.category, self.options.category), (lists.facts.brand, self.options.brand))
            if cap
        ]
        present, warnings = lists.present, Counter[str]()
        chosen = _first_allowed(groups, present, k)
        wanted = np.minimum(present.sum(axis=1), k)
        for row in np.flatnonzero(chosen.sum(axis=1) < wanted) if len(groups) == 2 else ():
            _filled([(codes[row], cap) for codes, cap in groups], present[row], chosen[row], int(wanted[row]))
        place = np.where(chosen, chosen.cumsum(axis=1) - 1, -1)
        if unfilled := int((chosen.sum(axis=1) < wanted).sum()):
            warnings["caps cannot hold"] += unfilled
        if self.options.spread:
            place, close = _spread(lists.of_items(lists.facts.category, -1), chosen, self.options.spread)
            if close:
                warnings["repeats stand closer"] += close
        return Reordered(by_place(place, present), warnings=warnings)

    def state(self) -> dict[str, Any]:
        """Nothing is learned."""
        return {}


def _first_allowed(groups: list[tuple[Ints, int]], present: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """The candidates taken in order, bool [U, C], at most k of a row, each one only where the caps allow it."""
    chosen, rows = np.zeros_like(present), np.arange(len(present))
    used = [np.zeros(present.shape, dtype=np.int64) for _ in groups]  # chosen ones that share the candidate's code
    for _ in range(min(k, present.shape[1])):
        allowed = present & ~chosen
        for (_, cap), count in zip(groups, used, strict=True):
            allowed &= count < cap
        pick = allowed.argmax(axis=1)
        found = allowed[rows, pick]
        if not found.any():
            break
        chosen[rows[found], pick[found]] = True
        for (codes, _), count in zip(groups, used, strict=True):
            own = codes[rows, pick][:, None]
            count += (codes == own) & (own >= 0) & found[:, None]
    return chosen


def _filled(groups: list[tuple[Ints, int]], present: NDArray[np.bool_], chosen: NDArray[np.bool_], wanted: int) -> None:
    """Exchange and add candidates of one list until `wanted` are chosen [C] or the two caps allow no more.

    Items are edges between their category and their brand, chosen ones carry flow: a shortest augmenting path (Edmonds and
    Karp, JACM 1972) from a category with room to a brand with room adds one item.
    """
    width = len(present)
    # An item without a code is in a group of its own, which never fills up.
    nodes = [np.where(codes < 0, codes.max(initial=0) + 1 + np.arange(width), codes).tolist() for codes, _ in groups]
    items = np.flatnonzero(present).tolist()
    while chosen.sum() < wanted:
        path = _path(nodes, [cap for _, cap in groups], items, chosen)
        if not path:
            return
        chosen[path] = ~chosen[path]


def _path(nodes: list[list[int]], caps: list[int], items: list[int], chosen: NDArray[np.bool_]) -> list[int]:
    """The items along a shortest path: not chosen, chosen, not chosen, ...; empty where there is none."""
    room = [Counter(dict.fromkeys(side, cap)) for side, cap in zip(nodes, caps, strict=True)]
    edges: dict[tuple[int, int], list[int]] = {}  # (side, node) -> items that lead away from it
    for item in items:
        if chosen[item]:
            for side in (0, 1):
                room[side][nodes[side][item]] -= 1
        side = int(chosen[item])
        edges.setdefault((side, nodes[side][item]), []).append(item)
    came: dict[tuple[int, int], int] = {(0, node): -1 for node, left in room[0].items() if left > 0}
    waiting = deque(came)
    while waiting:
        at = waiting.popleft()
        if at[0] == 1 and room[1][at[1]] > 0:
            path = []
            while came[at] >= 0:
                item = came[at]
                path.append(item)
                at = (1 - at[0], nodes[1 - at[0]][item])
            return path
        for item in edges.get(at, ()):
            to = (1 - at[0], nodes[1 - at[0]][item])
            if to not in came:
                came[to] = item
                waiting.append(to)
    return []


def _spread(category: Ints, chosen: NDArray[np.bool_], gap: int) -> tuple[Ints, int]:
    """Places int64 [U, C] of the chosen items, and how many lists hold two of a category that stand closer than `gap`."""
    place, rows = np.full(category.shape, -1, dtype=np.int64), np.arange(len(category))
    last = np.full(category.shape, -gap - 1, dtype=np.int64)  # where the candidate's category stood last
    close = np.zeros(len(category), dtype=bool)
    for number in range(int(chosen.sum(axis=1).max(initial=0))):
        left = chosen & (place < 0)
        apart = left & ((number - last > gap) | (category < 0))
        pick = np.where(apart.any(axis=1), apart.argmax(axis=1), left.argmax(axis=1))
        found = left[rows, pick]
        close |= found & ~apart[rows, pick]
        place[rows[found], pick[found]] = number
        last = np.where((category == category[rows, pick][:, None]) & found[:, None], number, last)
    return place, int(close.sum())
