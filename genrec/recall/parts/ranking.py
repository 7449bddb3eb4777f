"""Ranking of the catalogue by scores, the same for all channels: deterministic top k in bounded memory."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.recall.parts.scorer import History, Scorer, flatten

_ROWS = 256  # histories ranked at once, at most
_LONG = 1000  # events of a history that is ranked alone
_SORTED = 1 << 12
_CELLS = 1 << 22  # dense scores held at once: bounds memory


def top_k(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k best columns of each row: (items int32 [n, k], scores float32 [n, k]), best first.

    Equal scores are ordered by the lower item index. Columns at -inf are never listed; short rows end in -1 / -inf.
    """
    num_rows, num_items = scores.shape
    items = np.full((num_rows, k), -1, dtype=np.int32)
    values = np.full((num_rows, k), -np.inf, dtype=np.float32)
    width = min(k, num_items)
    if num_rows == 0 or width == 0:
        return items, values
    if num_rows == 1 and num_items <= _SORTED:  # one small row is no work for many threads
        order = _first(scores[0], width)
        best = scores[0, order]
        items[0, :width], values[0, :width] = np.where(best == -np.inf, -1, order), best
        return items, values
    # torch finds the best about ten times faster than np.partition in rows of mostly zeros, which sparse baselines give.
    found = torch.topk(torch.from_numpy(scores), min(width + 1, num_items), dim=1)
    figures, numbers = found.values.numpy(), found.indices.numpy()[:, :width]
    tied_rows = figures[:, -1] == figures[:, width - 1] if width < num_items else np.zeros(num_rows, dtype=bool)
    columns = np.sort(numbers, axis=1)
    columns[tied_rows] = _lowest_of_equals(scores[tied_rows], width, figures[tied_rows, width - 1 : width])
    best = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-best, axis=1, kind="stable")  # columns are ascending, so ties keep the lower index first
    columns, best = np.take_along_axis(columns, order, axis=1), np.take_along_axis(best, order, axis=1)
    items[:, :width] = np.where(best == -np.inf, -1, columns)
    values[:, :width] = best
    return items, values


def _lowest_of_equals(scores: NDArray[np.float32], width: int, threshold: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64 [n, width], ascending: the columns above the width-th best score [n, 1] and, of those equal to it, the lowest."""
    chosen = scores >= threshold
    crowded = np.flatnonzero(np.count_nonzero(chosen, axis=1) > width)
    above, tied = scores[crowded] > threshold[crowded], scores[crowded] == threshold[crowded]
    missing = width - np.count_nonzero(above, axis=1)[:, None]
    chosen[crowded] = above | (tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= missing))
    return np.nonzero(chosen)[1].reshape(len(scores), width)


def top_positive(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """`top_k` of one row [num_items] whose columns are listed above zero alone: (items int32 [1, k], scores [1, k])."""
    items, values = np.full((1, k), -1, dtype=np.int32), np.full((1, k), -np.inf, dtype=np.float32)
    found = (scores > 0).nonzero()[0] if k else np.empty(0, np.int64)
    best = found[_first(scores[found], k)] if len(found) else found
    items[0, : len(best)], values[0, : len(best)] = best, scores[best]
    return items, values


def _first(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """int64: the places of the k largest of a few scores, largest first, of equals the first; all where there are fewer."""
    if 2 * k > len(scores):
        return (-scores).argsort(kind="stable")[:k]
    chosen = (scores >= np.partition(scores, len(scores) - k)[len(scores) - k]).nonzero()[0]
    return chosen[(-scores[chosen]).argsort(kind="stable")[:k]]


def rank(
    scorer: Scorer, histories: Sequence[History], k: int, drop_seen: bool, batch: int = _ROWS
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rank the catalogue for every history: (items int32 [n, k], scores float32 [n, k]), best first, -1 / -inf padded.

    `drop_seen` takes the items of the history out of the ranking. `batch` bounds memory (beside `_CELLS`) and changes
    nothing else. Raises DataError when a scorer gives NaN or an infinite score.
    """
    (lists,) = rank_each(scorer, histories, k, [drop_seen], batch)
    return lists


def rank_each(
    scorer: Scorer, histories: Sequence[History], k: int, drop_seen: Sequence[bool], batch: int = _ROWS
) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """`rank` under several protocols, by one scoring.

    A channel with a method `best(histories, n)` (the n best items of each, as `top_k` orders them) gives the lists by
    itself; of any other, dense scores are held for so many histories at once as `_CELLS` allows.
    """
    best = getattr(scorer, "best", None)
    at_once = batch if best is not None else max(1, min(batch, _CELLS // max(1, scorer.num_items)))
    found = [
        (np.full((len(histories), k), -1, dtype=np.int32), np.full((len(histories), k), -np.inf, dtype=np.float32))
        for _ in drop_seen
    ]
    for part in _parts(histories, at_once):
        read = [histories[row] for row in part.tolist()]
        # Enough for a list whose history is all at its head: both protocols are read from one longer list.
        n = min(k + (max(map(len, read)) if any(drop_seen) else 0), scorer.num_items)
        if best is not None:
            listed, figures = best(read, n)
        else:
            scores = scorer.scores(read)
            if not np.isfinite(scores).all():
                raise DataError(f"{type(scorer).__module__}: scores are not finite for histories {part[0]} and after")
            listed, figures = top_k(scores, n)
        for (items, values), drop in zip(found, drop_seen, strict=True):
            kept = without(listed, figures, read, scorer.num_items) if drop else (listed, figures)
            width = min(k, n)
            items[part, :width], values[part, :width] = kept[0][:, :width], kept[1][:, :width]
    return found


def _parts(histories: Sequence[History], at_once: int) -> Iterator[NDArray[np.int64]]:
    """Rows that are ranked together, `at_once` at most; those with a very long history, alone: their lists are as long."""
    is_long = np.fromiter((len(history) > _LONG for history in histories), dtype=bool, count=len(histories))
    others = np.flatnonzero(~is_long)
    yield from (others[start : start + at_once] for start in range(0, len(others), at_once))
    yield from np.flatnonzero(is_long)[:, None]


def without(
    items: NDArray[np.int32], values: NDArray[np.float32], banned: Sequence[History], num_items: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Lists [b, n] without the banned items of each; what follows moves up, and -1 / -inf fill the end."""
    rows, columns = flatten(banned, num_items)
    of_row = np.arange(len(items), dtype=np.int64)[:, None] * num_items
    out = (items < 0) | np.isin(of_row + items, rows * num_items + columns)
    order = np.argsort(out, axis=1, kind="stable")
    moved = np.take_along_axis(out, order, axis=1)
    return (
        np.where(moved, -1, np.take_along_axis(items, order, axis=1)).astype(np.int32),
        np.where(moved, -np.inf, np.take_along_axis(values, order, axis=1)).astype(np.float32),
    )
