"""Which item followed which in sequences of events, the closer the more it counts."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def weighted_pairs(
    items: NDArray[np.integer], sequence: NDArray[np.integer], window: int
) -> Iterator[tuple[float, NDArray[np.integer], NDArray[np.integer]]]:
    """Ordered pairs of events of one sequence that are at most `window` places apart, by distance 1..window.

    `items` [E] are the events' items, the sequences concatenated, oldest event first; `sequence` [E] is the
    number of the sequence an event is in. Yields (weight = 1 / distance, earlier items, later items), pairs in order.
    """
    for distance in range(1, window + 1):
        together = sequence[:-distance] == sequence[distance:]
        yield 1 / distance, items[:-distance][together], items[distance:][together]
