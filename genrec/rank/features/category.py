"""Whether category and brand of a candidate are those of the history."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Block, Columns, Context, empty

_DECAY = 0.8  # weight of a history item of age a is _DECAY ** a

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


def names(channels: Sequence[str], num_levels: int) -> dict[str, str]:
    """The columns with their meaning and unit."""
    return _NAMES


def columns(context: Context, candidates: Candidates) -> Columns:
    """float32, a row a candidate; missing where the item has no category or brand, or none of the history has."""
    tables = context.tables
    found, rows = empty(candidates, [*_NAMES]), tables.rows(candidates.item)
    found["leaf_events"], found["leaf_position"] = np.log1p(tables.leaf_events[rows]), tables.leaf_rank[rows]
    for block in context.blocks(candidates):
        if not block.history.shape[1]:
            continue
        _put_matches(
            found,
            block,
            np.stack([tables.leaf[block.items], tables.brand[block.items]]),
            np.stack([tables.leaf[block.history], tables.brand[block.history]]),
        )
        overlap = _jaccard(tables.categories[block.items], tables.categories[block.history])
        block.put(found["categories_last"], overlap[..., 0])
        block.put(found["categories_best"], np.fmax.reduce(overlap, axis=-1))
    return found


def _put_matches(
    found: dict[str, NDArray[np.float32]], block: Block, of_item: NDArray[np.int64], of_history: NDArray[np.int64]
) -> None:
    """Of leaf and brand, numbers [2, u, C] of the candidates and [2, u, H] of the history; -1 is none."""
    same = of_item[..., None] == of_history[:, :, None, :]  # [2, u, C, H]
    named, has_it = (of_history >= 0)[:, :, None, :], of_item >= 0
    weight = np.float32(_DECAY) ** np.arange(same.shape[-1], dtype=np.float32)
    known = has_it & named.any(axis=-1)
    share = (same & named).sum(axis=-1) / np.maximum(named.sum(axis=-1), 1)
    affinity = (same * weight).sum(axis=-1) / np.maximum((named * weight).sum(axis=-1), 1e-9)
    values = {
        "last": np.where(has_it & named[..., 0], same[..., 0], np.nan),
        "share": np.where(known, share, np.nan),
        "affinity": np.where(known, affinity, np.nan),
        "age": np.where(known & same.any(axis=-1), same.argmax(axis=-1), np.nan),
    }
    for name, of_both in values.items():
        for key, value in zip(_GROUPS, of_both, strict=True):
            block.put(found[f"{key}_{name}"], value)


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
