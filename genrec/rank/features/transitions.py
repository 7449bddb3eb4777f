"""What followed the items of the history in training, by hop, and what shared users with them."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Block, Columns, Context, empty
from genrec.rank.features.parts.tables import Tables
from genrec.recall.parts.sparse import entries

_DECAY = 0.6  # weight of a history item of age a is _DECAY ** a

_NAMES = {
    "follow_last": "share of the followers of the last item that are the item, 0..1",
    "follow_last_count": "log(1 + training events in which the item came right after the last one)",
    "follow_second": "the same share after the item before the last, 0..1",
    "follow_third": "the same share after the third last, 0..1",
    "follow_best": "largest such share over the history, 0..1",
    "follow_sum": "sum of such shares over the history, an item of age a counting 0.6 ** a",
    "follow_back": "share of the followers of the item that are the last one, 0..1",
    "hops_last": "probability of a path of exactly two hops from the last item, 0..1",
    "hops_sum": "sum of such probabilities over the history, an item of age a counting 0.6 ** a",
    "together_last": "cosine of the sets of training users of the item and the last one, 0..1",
    "together_best": "largest such cosine over the history, 0..1",
    "together_mean": "mean such cosine over the history, 0..1",
}


def names(channels: Sequence[str], num_levels: int) -> dict[str, str]:
    """The columns with their meaning and unit."""
    return _NAMES


def columns(context: Context, candidates: Candidates) -> Columns:
    """float32, a row a candidate; missing where the history's items have no followers or no users."""
    found, tables = empty(candidates, [*_NAMES]), context.tables
    leaving = np.diff(tables.follow.indptr) > 0
    sold = tables.counts > 0
    for block in context.blocks(candidates):
        if not block.history.shape[1]:
            continue
        follow = _looked_up(tables.follow, block, leaving)
        _put_ages(found, block, follow)
        weight = np.float32(_DECAY) ** np.arange(block.history.shape[1], dtype=np.float32)
        hops = _looked_up(tables.hops, block, leaving)
        together = _looked_up(tables.together, block, sold)
        last = np.broadcast_to(block.history[:, :1], block.items.shape)
        back = np.where(leaving[block.items], entries(tables.follow, block.items, last), np.nan)
        for name, values in {
            "follow_last_count": _count(tables, block, last, leaving),
            "follow_best": _largest(follow),
            "follow_sum": _sum(follow * weight),
            "follow_back": back,
            "hops_last": hops[..., 0],
            "hops_sum": _sum(hops * weight),
            "together_last": together[..., 0],
            "together_best": _largest(together),
            "together_mean": _sum(together) / np.maximum((~np.isnan(together)).sum(axis=-1), 1),
        }.items():
            block.put(found[name], values)
    return found


def _put_ages(found: dict[str, NDArray[np.float32]], block: Block, follow: NDArray[np.float32]) -> None:
    for age, name in enumerate(("follow_last", "follow_second", "follow_third")):
        if age < follow.shape[-1]:
            block.put(found[name], follow[..., age])


def _looked_up(matrix: sp.csr_array, block: Block, known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """float32 [u, C, H]: the entries from history items to candidates; NaN where the history item is not `known`, or the
    candidate is not in the tables."""
    history = np.broadcast_to(block.history[:, None, :], (*block.items.shape, block.history.shape[1]))
    values = entries(matrix, history, np.broadcast_to(block.items[..., None], history.shape))
    return np.where(known[history] & _in_tables(matrix, block)[..., None], values, np.float32(np.nan))


def _in_tables(matrix: sp.csr_array, block: Block) -> NDArray[np.bool_]:
    return block.items < matrix.shape[0] - 1


def _count(tables: Tables, block: Block, last: NDArray[np.int64], leaving: NDArray[np.bool_]) -> NDArray[np.float32]:
    known = leaving[last] & _in_tables(tables.follow_counts, block)
    return np.where(known, np.log1p(entries(tables.follow_counts, last, block.items)), np.float32(np.nan))


def _largest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.fmax.reduce(values, axis=-1)


def _sum(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the last axis, what is missing left out; missing where all is."""
    missing = np.isnan(values)
    return np.where(missing.all(axis=-1), np.float32(np.nan), np.where(missing, 0, values).sum(axis=-1))
