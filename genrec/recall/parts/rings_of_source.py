"""The rings around one source of a graph (`genrec.recall.transition_rings`), each in the order that fills its places: it is
the same for every history that ends with the source.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.recall.parts.sparse import of_rows


class Ring(NamedTuple):
    """What a ring of one source holds, best first, of equals the lower item."""

    items: NDArray[np.int64]  # [n]
    values: NDArray[np.float32]  # [n], by which it fills its places


def rings_of(
    edges: sp.csr_array,
    strength: sp.csr_array,
    vectors: NDArray[np.float32],
    edge_weight: float,
    source: int,
    count: int,
) -> tuple[Ring, ...]:
    """The rings around one source, from the arrays of `Rings`."""
    closeness = (vectors[[source]] @ vectors.T)[0]
    found, visited, ring = [], np.zeros(len(vectors), dtype=bool), np.array([source])
    visited[source] = True
    for number in range(count):
        reached = np.zeros_like(visited)
        reached[of_rows(edges, ring)[1]] = True
        ring = np.flatnonzero(reached & ~visited)
        visited |= reached
        value = closeness
        if number == 0:
            value = closeness.copy()
            _, followers, weight = of_rows(strength, np.array([source]))
            value[followers] += edge_weight * weight
        items = ring[np.argsort(-value[ring], kind="stable")]
        found.append(Ring(items, value[items]))
    return tuple(found)
