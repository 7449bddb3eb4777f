"""What followed the items of the history in training, by hop, and what shared users with them."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Block, Columns, Context, empty
from genrec.rank.features.parts.tables import Tables
from genrec.recall.parts.sparse import of_rows

_MOST_ENTRIES = 1 << 22  # of the matrices, up to which they are held twice: 48 MiB
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
        values, (counts, back) = _looked_up(tables, block)
        in_tables, is_followed = block.items < tables.num_items, tables.is_followed[block.history]
        of_history = np.stack([is_followed, is_followed, tables.is_sold[block.history]])
        has_it = in_tables[..., None] & of_history[:, :, None, :]
        if not has_it.all():
            values = np.where(has_it, values, np.float32(np.nan))
        weight = np.ones((3, 1, 1, values.shape[-1]), dtype=np.float32)
        weight[:2] = np.float32(_DECAY) ** np.arange(values.shape[-1], dtype=np.float32)
        # The last axis is short: its largest values are found faster along the first one.
        best, sums = np.fmax.reduce(np.ascontiguousarray(np.moveaxis(values, -1, 0))), _sum(values * weight)
        follow, hops, together = values
        _put_ages(found, block, follow)
        for name, column in {
            "follow_last_count": np.where(has_it[0, ..., 0], np.log1p(counts), np.float32(np.nan)),
            "follow_best": best[0],
            "follow_sum": sums[0],
            "follow_back": np.where(tables.is_followed[block.items], back, np.nan),
            "hops_last": hops[..., 0],
            "hops_sum": sums[1],
            "together_last": together[..., 0],
            "together_best": best[2],
            "together_mean": sums[2] / np.maximum(has_it[2].sum(axis=-1), 1),
        }.items():
            block.put(found[name], column)
    return found


def _put_ages(found: dict[str, NDArray[np.float32]], block: Block, follow: NDArray[np.float32]) -> None:
    for age, name in enumerate(("follow_last", "follow_second", "follow_third")):
        if age < follow.shape[-1]:
            block.put(found[name], follow[..., age])


def _looked_up(tables: Tables, block: Block) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What `follow`, `hops` and `together` say of the history's items and the candidates, float32 [3, u, C, H], and
    `follow_counts` and `follow_back` of the last item, [2, u, C].

    Rows of a history are few and short beside all its pairs with candidates, so they are read and not searched.
    """
    (num_queries, most), length = block.items.shape, block.history.shape[1]
    values = np.zeros((3, num_queries, most, length), dtype=np.float32)
    of_last = np.zeros((2, num_queries, most), dtype=np.float32)
    place = np.full(len(tables.counts), -1)
    for query, size in enumerate(block.inside.sum(axis=1).tolist()):
        items = block.items[query, :size]
        place[items] = np.arange(size)
        of_row, column, entry = _read(tables, block.history[query])
        at = place[column]
        listed = np.flatnonzero(at >= 0)
        at, of_row, entry = at[listed], of_row[listed], entry[listed]
        end = int(np.searchsorted(of_row, 3 * length))
        matrix, age = np.divmod(of_row[:end], length)
        values[matrix, query, at[:end], age] = entry[:end]
        of_last[of_row[end:] - 3 * length, query, at[end:]] = entry[end:]
        place[items] = -1
    return values, of_last


def _read(
    tables: Tables, history: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.integer], NDArray[np.float32]]:
    """The rows of one history [H], (number, column, value): those of three matrices, H each, and of its newest item in two.

    Matrices that are not too large are held one below the other too, to be read at once.
    """
    size, length = len(tables.counts), len(history)
    if (stacked := tables.kept(_stacked)) is not None:
        rows = np.empty(3 * length + 2, dtype=np.int64)
        rows[: 3 * length].reshape(3, length)[:] = history + size * np.arange(3)[:, None]
        rows[3 * length :] = history[0] + size * np.arange(3, 5)
        return of_rows(stacked, rows)
    parts = [of_rows(m, history if number < 3 else history[:1]) for number, m in enumerate(_matrices(tables))]
    first = [0, length, 2 * length, 3 * length, 3 * length + 1]
    number = np.concatenate([part[0] + start for part, start in zip(parts, first, strict=True)])
    return number, np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])


def _matrices(tables: Tables) -> list[sp.csr_array]:
    return [tables.follow, tables.hops, tables.together, tables.follow_counts, tables.follow_back]


def _stacked(tables: Tables) -> sp.csr_array | None:
    """The matrices one below the other; None where they are large."""
    matrices = _matrices(tables)
    if sum(matrix.nnz for matrix in matrices) > _MOST_ENTRIES:
        return None
    return sp.csr_array(sp.vstack(matrices, format="csr"))


def _sum(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the last axis, what is missing left out; missing where all is."""
    missing = np.isnan(values)
    if not missing.any():
        return values.sum(axis=-1)
    return np.where(missing.all(axis=-1), np.float32(np.nan), np.where(missing, 0, values).sum(axis=-1))
