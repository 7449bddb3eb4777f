"""What followed the items of the history in training, by hop, and what shared users with them."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Block, Columns, Context, empty
from genrec.recall.parts.sparse import of_rows

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
    for block in context.blocks(candidates):
        if not block.history.shape[1]:
            continue
        last = block.history[:, :1]
        weight = np.float32(_DECAY) ** np.arange(block.history.shape[1], dtype=np.float32)
        in_tables = (block.items < tables.num_items)[..., None]
        follow, hops, together, counts, back = _looked_up(
            block,
            [
                *((tables.follow, block.history), (tables.hops, block.history), (tables.together, block.history)),
                *((tables.follow_counts, last), (tables.follow_back, last)),
            ],
        )
        leaving = in_tables & tables.is_followed[block.history][:, None, :]
        follow, hops = (np.where(leaving, values, np.float32(np.nan)) for values in (follow, hops))
        together = np.where(in_tables & tables.is_sold[block.history][:, None, :], together, np.float32(np.nan))
        _put_ages(found, block, follow)
        for name, values in {
            "follow_last_count": np.where(leaving[..., 0], np.log1p(counts[..., 0]), np.float32(np.nan)),
            "follow_best": _largest(follow),
            "follow_sum": _sum(follow * weight),
            "follow_back": np.where(tables.is_followed[block.items], back[..., 0], np.nan),
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


def _looked_up(block: Block, wanted: Sequence[tuple[sp.csr_array, NDArray[np.int64]]]) -> list[NDArray[np.float32]]:
    """For each matrix and its rows [u, H], float32 [u, C, H]: the entries there in the columns of the candidates.

    Rows of a history are few and short beside all its pairs with candidates, so they are read and not searched.
    """
    num_queries, most = block.items.shape
    values = [np.zeros((num_queries, most, rows.shape[1]), dtype=np.float32) for _, rows in wanted]
    place = np.full(wanted[0][0].shape[1], -1)
    sizes = block.inside.sum(axis=1).tolist()
    for query, size in enumerate(sizes):
        items = block.items[query, :size]
        place[items] = np.arange(size)
        for (matrix, rows), found in zip(wanted, values, strict=True):
            of_row, column, entry = of_rows(matrix, rows[query])
            at = place[column]
            listed = np.flatnonzero(at >= 0)
            found[query, at[listed], of_row[listed]] = entry[listed]
        place[items] = -1
    return values


def _largest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.fmax.reduce(values, axis=-1)


def _sum(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the last axis, what is missing left out; missing where all is."""
    missing = np.isnan(values)
    return np.where(missing.all(axis=-1), np.float32(np.nan), np.where(missing, 0, values).sum(axis=-1))
