"""Lists of a channel of rings (`genrec.recall.transition_rings`) over a large catalogue, without scores of all items.

An item's place depends on its ring around a source and, inside of the ring, on a value. Of every ring those with the largest
values are taken as a pool, as many as a list can hold, and ranked as the whole catalogue would be. The rings are walked
edge by edge; of the last one, which reaches most of a large catalogue, items are tried in the order of their values
by who leads to them.
"""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.recall.parts.sparse import of_rows

FAR = 255  # no ring, or none that was looked for
_EDGES = 1 << 17  # that are walked for the last ring; beyond, it is tried by value
_TRIED = 256  # items that are tried at once at first
_KEPT_BYTES = 1 << 26  # of the rings of the last sources


class Walked(NamedTuple):
    """What is known of the rings around a source."""

    ring: NDArray[np.uint8]  # [num_items]; 0: the source, FAR: none
    complete: bool  # the last ring, too


class RingWalk:
    """Rings 1, 2, ... around items of a graph: what so many edges reach and fewer do not."""

    def __init__(self, edges: sp.csr_array) -> None:
        """`edges` [num_items, num_items], an entry from row to column."""
        self._edges = edges
        self._lengths = np.diff(edges.indptr)
        self._reversed = sp.csr_array(edges.T)
        self._kept: OrderedDict[tuple[int, int], Walked] = OrderedDict()

    def walk(self, source: int, count: int) -> Walked:
        """The first `count` rings, the last one only where it takes few edges or is the first."""
        if (source, count) in self._kept:
            self._kept.move_to_end((source, count))
            return self._kept[source, count]
        ring = np.full(len(self._lengths), FAR, dtype=np.uint8)
        ring[source] = 0
        frontier, complete = np.array([source]), True
        for number in range(1, count + 1):
            if 1 < number == count and self._lengths[frontier].sum() > _EDGES:
                complete = False
                break
            reached = self._reached(frontier)
            ring[reached[ring[reached] == FAR]] = number
            frontier = np.flatnonzero(ring == number)
        self._kept[source, count] = Walked(ring, complete)
        found = self._kept[source, count]
        if len(self._kept) * len(ring) > _KEPT_BYTES:
            self._kept.popitem(last=False)
        return found

    def _reached(self, items: NDArray[np.int64]) -> NDArray[np.integer]:
        """What an edge from one of the items leads to, with repeats."""
        lengths = self._lengths[items]
        shift = self._edges.indptr[items] - np.cumsum(lengths) + lengths
        return self._edges.indices[np.repeat(shift, lengths) + np.arange(lengths.sum())]

    def last_by_value(
        self,
        walked: NDArray[np.uint8],
        number: int,
        value: NDArray[np.float32],
        wanted: int,
        margin: float,
        always: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Items of ring `number`: the `wanted` ones of largest `value` [num_items], those less than `margin` below the last of
        them, and others; all where there are fewer, and those of `always` in any case. `walked` has the rings before.
        """
        left = np.flatnonzero(walked == FAR)
        found, tried, size = np.empty(0, np.int64), 0, _TRIED
        while tried < len(left):
            tried, size = min(size, len(left)), 4 * size
            least = kth_largest(value[left], tried)
            candidates = left[value[left] >= least - np.float32(margin)]
            found = self._followers_among(candidates, walked, number)
            if np.count_nonzero(value[found] >= least) >= wanted:
                break
        return np.union1d(found, self._followers_among(always[walked[always] == FAR], walked, number))

    def _followers_among(
        self, candidates: NDArray[np.int64], walked: NDArray[np.uint8], number: int
    ) -> NDArray[np.int64]:
        """Those of the candidates, items of none of the rings before, that ring `number` - 1 leads to."""
        place, before, _ = of_rows(self._reversed, candidates)
        is_in = np.zeros(len(candidates), dtype=bool)
        is_in[place[walked[before] == number - 1]] = True
        return candidates[is_in]


def kth_largest(values: NDArray[np.float32], k: int) -> np.float32:
    """The k-th largest of some values; -inf where there are fewer."""
    return np.partition(values, len(values) - k)[len(values) - k] if k <= len(values) else np.float32(-np.inf)


def largest(values: NDArray[np.float32], k: int, margin: float) -> NDArray[np.int64]:
    """The places of the k largest values and of those less than `margin` below the last of them, ascending."""
    return np.flatnonzero(values >= kth_largest(values, k) - np.float32(margin))
