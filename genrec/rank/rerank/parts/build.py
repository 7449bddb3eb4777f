"""Lists from ranked candidates, one row a pair of user and item, and what the catalogue says of the items."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from genrec.list_metrics import NEW_COUNT
from genrec.rank.rerank.parts.lists import Floats, Ints, ItemFacts, Lists
from genrec.tables import numbered


def lists_of(
    users: Ints,
    user: Ints,
    item: Ints,
    score: Floats,
    facts: ItemFacts,
    *,
    aims: Mapping[str, Floats],
    item_aims: Mapping[str, NDArray],
    limit: int,
    features: Floats | None = None,
    segment: Ints | None = None,
    target: Ints | None = None,
    bought: NDArray[np.bool_] | None = None,
) -> Lists:
    """The best `limit` candidates of each user by score, as Lists.

    Args:
        users: int64 [U], ascending: a list each, empty where there is no candidate.
        user, item, score: [R] candidates, every user one of `users`; a score that is not finite is the lowest.
        aims: float32 [R] each, of a candidate (the chances of click and purchase).
        item_aims: [N] each, of an item (price, margin, new, novelty); NaN = unknown.
        features, segment: [U, F] and [U] of the users.
        target, bought: [U], the item that came next (-1 = none) and whether it was bought: they make `outcome`.
    """
    ranked = np.where(np.isfinite(score), score, -np.inf)
    order = np.lexsort((-ranked, user))
    row = np.searchsorted(users, user[order])
    column = np.arange(len(row)) - np.searchsorted(row, row)
    kept = column < limit
    order, row, column = order[kept], row[kept], column[kept]
    shape = (len(users), int(column.max()) + 1 if len(column) else 0)
    items = np.full(shape, -1, dtype=np.int64)
    items[row, column] = item[order]

    def placed(values: NDArray, empty: float) -> Floats:
        matrix = np.full(shape, empty, dtype=np.float32)
        matrix[row, column] = values[order]
        return matrix

    listed, present = np.maximum(items, 0), items >= 0
    by_item = {name: np.where(present, values[listed], np.nan).astype(np.float32) for name, values in item_aims.items()}
    return Lists(
        item=items,
        score=_never_rising(placed(ranked, np.nan)),
        aims={name: placed(values, np.nan) for name, values in aims.items()} | by_item,
        facts=facts,
        user=features,
        segment=segment,
        outcome=None if target is None else logged(items, target, bought),
    )


def logged(items: Ints, target: Ints, bought: NDArray[np.bool_] | None) -> dict[str, Floats]:
    """Outcome [U, C] of logged events: 1 for the item that came next, and for `purchase` where it was bought."""
    taken = (items == target[:, None]) & (items >= 0)
    paid = taken if bought is None else taken & bought[:, None]
    return {"next": taken.astype(np.float32), "purchase": paid.astype(np.float32)}


def _never_rising(score: Floats) -> Floats:
    """Scores [U, C] that fall from left to right, with finite ones where they are infinite or there is no item."""
    if np.isfinite(score).all():
        return score
    finite = np.where(np.isfinite(score), score, np.nan)
    known = np.isfinite(finite).any(axis=1)
    lowest = np.zeros(len(score), dtype=np.float32)
    if known.any():
        lowest[known] = np.nanmin(finite[known], axis=1)
    return np.where(np.isfinite(finite), finite, lowest[:, None]).astype(np.float32)


def facts_of(catalogue: pa.Table, vectors: Floats | None) -> tuple[ItemFacts, dict[str, NDArray]]:
    """The facts of the items and their aims `new` and `novelty`, from the columns brand, categories and train_count.

    An item's category is its last, most specific one; vectors: float32 [N, V]. As in `genrec.list_metrics`, an item is new
    with few training events, and its novelty is -log2 of its share of them, one event added to each.
    """
    count = catalogue["train_count"].to_numpy()
    category, category_names = _codes([names[-1] if names else "" for names in catalogue["categories"].to_pylist()])
    brand, brand_names = _codes(catalogue["brand"].to_pylist())
    facts = ItemFacts(category, brand, category_names, brand_names, vectors)
    return facts, {"new": count <= NEW_COUNT, "novelty": -np.log2((count + 1) / (count.sum() + len(count)))}


def _codes(names: list[str]) -> tuple[Ints, tuple[str, ...]]:
    """The number of each name, -1 for an empty one, and the names by number."""
    codes, known = numbered(pa.array(names, pa.string()))
    return np.where(np.array(names) == "", -1, codes).astype(np.int64), tuple(known)
