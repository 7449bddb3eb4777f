"""Whether category and brand of a candidate are those of the history."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Block, Columns, Context, empty
from genrec.rank.features.parts.tables import Tables

_MOST_SETS = 1 << 10  # of categories, whose overlaps are held: 4 MiB
_DECAY = 0.8  # weight of a history item of age a is _DECAY ** a

_MATCHES = ("last", "share", "affinity", "age")
_GROUPS = {"leaf": "most specific category", "brand": "brand"}
_NAMES = {
    name: text
    for key, words in _GROUPS.items()
    for name, text in {
        f"{key}_last": f"1 where the last item has the same {words}, else 0",
        f"{key}_share": f"share of the history with the same {words}, 0..1",
        f"{key}_affinity": "the same share, an event of age a counting 0.8 ** a, 0..1",
        f"{key}_age": f"place of the newest history item with the same {words}, events from the newest, from 0",
    }.items()
} | {
    "categories_last": "Jaccard index of the categories of the item and the last one, 0..1",
    "categories_best": "largest such index over the history, 0..1",
    "leaf_events": "log(1 + training events of the item's most specific category)",
    "leaf_position": "share of the items of its most specific category with fewer training events, 0..1",
}

_OF_HISTORY = [name for name in _NAMES if name not in ("leaf_events", "leaf_position")]


def names(channels: Sequence[str], num_levels: int) -> dict[str, str]:
    """The columns with their meaning and unit."""
    return _NAMES


def columns(context: Context, candidates: Candidates) -> Columns:
    """float32, a row a candidate; missing where the item has no category or brand, or none of the history has."""
    tables = context.tables
    found = empty(candidates, _OF_HISTORY) | context.of_items(candidates, _of_items)
    for block in context.blocks(candidates):
        if not block.history.shape[1]:
            continue
        codes = tables.kept(_codes)
        of_item, of_history = codes.take(block.items, axis=1), codes.take(block.history, axis=1)
        values: Iterable[NDArray[np.floating]]
        if block.is_all:
            values = _matches_of_one(of_item, of_history, 1 + int(codes.max()))
        else:
            values = _matches(of_item, of_history)
        for name, of_both in zip(_MATCHES, values, strict=True):
            for key, value in zip(_GROUPS, of_both, strict=True):
                block.put(found[f"{key}_{name}"], value)
        last, best = _overlaps(tables, block)
        block.put(found["categories_last"], last)
        block.put(found["categories_best"], best)
    return found


def _of_items(tables: Tables, rows: NDArray[np.int64], now: NDArray[np.int64] | None) -> Columns:
    return {"leaf_events": np.log1p(tables.leaf_events[rows]), "leaf_position": tables.leaf_rank[rows]}


def _codes(tables: Tables) -> NDArray[np.int64]:
    """int64 [2, N + 1]: the most specific category and the brand of each item, -1 for none."""
    return np.stack([tables.leaf, tables.brand])


def _matches(of_item: NDArray[np.int64], of_history: NDArray[np.int64]) -> list[NDArray[np.floating]]:
    """Of leaf and brand, numbers [2, u, C] of the candidates and [2, u, H] of the history, -1 is none: `_MATCHES`, [2, u, C]
    each."""
    same = of_item[..., None] == of_history[:, :, None, :]  # [2, u, C, H]
    named, has_it = (of_history >= 0)[:, :, None, :], of_item >= 0
    weight = np.float32(_DECAY) ** np.arange(same.shape[-1], dtype=np.float32)
    known = has_it & named.any(axis=-1)
    share = (same & named).sum(axis=-1) / np.maximum(named.sum(axis=-1), 1)
    affinity = (same * weight).sum(axis=-1) / np.maximum((named * weight).sum(axis=-1), 1e-9)
    return [
        np.where(has_it & named[..., 0], same[..., 0], np.nan),
        np.where(known, share, np.nan),
        np.where(known, affinity, np.nan),
        np.where(known & same.any(axis=-1), same.argmax(axis=-1), np.nan),
    ]


def _matches_of_one(of_item: NDArray[np.int64], of_history: NDArray[np.int64], num_codes: int) -> NDArray[np.float32]:
    """`_matches` of one query, whose candidates are alike that match the same item of the history, or none: [4, 2, 1, C]."""
    length, which = of_history.shape[2], np.arange(2)[:, None]
    kinds = np.full((2, 1, length + 2), -1)
    kinds[..., :length], kinds[..., length] = of_history, num_codes
    values = np.empty((len(_MATCHES), 2, length + 2), dtype=np.float32)
    for row, found in zip(values, _matches(kinds, of_history), strict=True):
        row[:] = found[:, 0]
    kind = np.full((2, num_codes + 1), length)
    kind[which, of_history[:, 0]] = np.arange(length)
    kind[:, -1] = length + 1  # where the number is -1
    return values[:, which, kind[which, of_item[:, 0]]][:, :, None]


def _overlaps(tables: Tables, block: Block) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The Jaccard indices with the last item and the largest with one of the history, float32 [u, C]."""
    sets, table = tables.kept(_sets)
    if table is None:
        overlap = _jaccard(tables.categories[block.items], tables.categories[block.history])
        return overlap[..., 0], np.fmax.reduce(overlap, axis=-1)
    if not block.is_all:
        overlap = table[sets[block.items][:, :, None], sets[block.history][:, None, :]]
        return overlap[..., 0], np.fmax.reduce(overlap, axis=-1)
    overlap, of_items = table[:, sets[block.history[0]]], sets[block.items]  # [S, H]
    return overlap[:, 0][of_items], np.fmax.reduce(overlap, axis=-1)[of_items]


def _sets(tables: Tables) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
    """The number of each item's set of categories, and the Jaccard indices of all sets, float32 [S, S]; None of many."""
    distinct, sets = np.unique(tables.categories, axis=0, return_inverse=True)
    table = _jaccard(distinct[None], distinct[None])[0] if len(distinct) <= _MOST_SETS else None
    return sets.ravel(), table


def _jaccard(items: NDArray[np.int64], history: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32 [u, C, H] of categories [u, C, D] and [u, H, D], -1 for none; NaN where either has none."""
    both = np.zeros((*items.shape[:2], history.shape[1]), dtype=np.int16)
    for one in range(items.shape[2]):
        of_item = np.where(items[..., one] < 0, -2, items[..., one])[..., None]
        for other in range(history.shape[2]):
            both += of_item == history[:, None, :, other]
    of_item, of_history = (items >= 0).sum(axis=-1)[..., None], (history >= 0).sum(axis=-1)[:, None, :]
    either = of_item + of_history - both
    known = (of_item > 0) & (of_history > 0)
    return np.where(known, both / np.maximum(either, 1), np.nan).astype(np.float32)
