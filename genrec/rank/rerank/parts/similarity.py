"""How alike candidates of one list are."""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts.lists import Floats, Ints, Lists, unit

_AT_ONCE = 1 << 22  # numbers held at once: 16 MiB as float32


def unit_vectors(lists: Lists, shown: Ints | None = None) -> Iterator[tuple[slice, Floats]]:
    """(rows, unit vectors float32 [u, C, V] of their candidates), in blocks that fit into memory.

    shown: columns int64 [U, k] to take, -1 = none; all by default. Without vectors an item is its category alone: 1 with
    the same one, 0 with another; zeros where it is unknown, as for columns without an item.
    """
    item = lists.item
    if shown is not None:
        item = np.where(shown >= 0, np.take_along_axis(item, np.maximum(shown, 0), axis=1), -1)
    width, table = item.shape[1], lists.facts.vectors
    dim = width if table is None else table.shape[1]
    step = max(1, _AT_ONCE // max(width * max(dim, width), 1))
    for start in range(0, len(item), step):
        rows = slice(start, min(start + step, len(item)))
        if table is None:
            yield rows, _one_hot(np.where(item[rows] >= 0, lists.facts.category[item[rows]], -1))
            continue
        held, is_none = lists.facts.unit_vectors, item[rows] < 0
        found = unit(table[item[rows]]) if held is None else held[item[rows]]
        if is_none.any():
            found[is_none] = 0
        yield rows, found


def _one_hot(category: Ints) -> Floats:
    """Categories [u, C] as float32 [u, C, C]: column j stands for that of candidate j where it is the first of its kind."""
    known = (category >= 0)[:, :, None]
    first = ((category[:, :, None] == category[:, None, :]) & known).argmax(axis=2)
    result = np.zeros((*category.shape, category.shape[1]), dtype=np.float32)
    np.put_along_axis(result, first[:, :, None], known.astype(np.float32), axis=2)
    return result


def greatest_to_those_before(lists: Lists) -> Floats:
    """float32 [U, C]: the greatest cosine similarity of each candidate to one that stands before it; 0 for the first."""
    result = np.zeros(lists.item.shape, dtype=np.float32)
    if lists.width < 2:
        return result
    before = _before(lists.width)
    for rows, vectors in unit_vectors(lists):
        similarity = vectors @ vectors.transpose(0, 2, 1)
        result[rows, 1:] = np.where(before, similarity, -np.inf).max(axis=2)[:, 1:]
    return result


@functools.lru_cache(4)
def _before(width: int) -> NDArray[np.bool_]:
    """bool [C, C]: the column stands before the row."""
    return np.tril(np.ones((width, width), dtype=bool), -1)


def scaled_relevance(lists: Lists) -> Floats:
    """Scores scaled to 0..1 within each list, float32 [U, C]; 1 where all are equal."""
    highest = lists.score.max(axis=1, keepdims=True, initial=-np.inf)
    lowest = lists.score.min(axis=1, keepdims=True, initial=np.inf)
    spread = highest - lowest
    return np.where(spread > 0, (lists.score - lowest) / np.where(spread > 0, spread, 1), 1).astype(np.float32)
