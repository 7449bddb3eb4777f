"""Candidate lists of many users as rectangles, and what a re-ranker makes of them.

U users, C columns of candidates, N items of the catalogue, k places that are shown.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


_MOST_NUMBERS = 1 << 24  # of vectors that are held twice: 64 MiB


def unit(vectors: NDArray[Any]) -> Floats:
    """Vectors [..., V] divided by their lengths, float32; zeros stay."""
    found = vectors.astype(np.float32)
    norms = np.linalg.norm(found, axis=-1, keepdims=True)
    return (found / np.where(norms > 0, norms, 1)).astype(np.float32)


@dataclass(frozen=True)
class ItemFacts:
    """What is known of the items; row i is item i."""

    category: Ints  # [N], place in `category_names`, -1 = unknown
    brand: Ints  # [N], place in `brand_names`, -1 = unknown
    category_names: tuple[str, ...] = ()
    brand_names: tuple[str, ...] = ()
    vectors: Floats | None = None  # [N, V], for diversity; without them items are alike that share a category
    in_stock: NDArray[np.bool_] | None = None  # [N]; None = all are

    @cached_property
    def unit_vectors(self) -> Floats | None:
        """float32 [N, V], the vectors divided by their lengths, zeros staying; None without vectors, or where they are many."""
        if self.vectors is None or self.vectors.size > _MOST_NUMBERS:
            return None
        return unit(self.vectors)


@dataclass(frozen=True)
class Lists:
    """Candidates in the order of the list so far.

    `aims` are in their own units (a probability, a price, bits), NaN where unknown: click, purchase (chances by the
    ranker), price, margin, new (0 or 1), novelty (bits), whichever there are. `outcome` is what a customer does with each
    candidate: `next`, the chance that it is the next item, and `purchase`, that it is and is bought; 0 or 1 where events
    were logged.
    """

    item: Ints  # [U, C], -1 = none; those without an item are the last columns
    score: Floats  # [U, C], of the place: never rises from left to right; of no item, the lowest of the list
    aims: Mapping[str, Floats]  # each [U, C]
    facts: ItemFacts
    user: Floats | None = None  # [U, F], features of the users
    segment: Ints | None = None  # [U]
    outcome: Mapping[str, Floats] | None = None  # next, purchase: each [U, C]

    def __len__(self) -> int:
        return len(self.item)

    @property
    def width(self) -> int:
        """Columns of candidates."""
        return self.item.shape[1]

    @property
    def present(self) -> NDArray[np.bool_]:
        """bool [U, C]: there is an item."""
        return self.item >= 0

    def of_items(self, values: NDArray[Any], missing: Any) -> NDArray[Any]:
        """What each item has [N, ...] by candidate [U, C, ...]; `missing` where there is no item."""
        found, missing_at = values[np.maximum(self.item, 0)], ~self.present
        if missing_at.any():
            found[missing_at] = missing
        return found

    def rows(self, chosen: Any) -> "Lists":
        """The lists of some users (a mask, a slice or row numbers)."""
        return replace(
            self,
            item=self.item[chosen],
            score=self.score[chosen],
            aims={name: aim[chosen] for name, aim in self.aims.items()},
            user=None if self.user is None else self.user[chosen],
            segment=None if self.segment is None else self.segment[chosen],
            outcome=None if self.outcome is None else {name: part[chosen] for name, part in self.outcome.items()},
        )

    def reordered(self, to: "Reordered") -> "Lists":
        """The lists after a step."""

        def moved(matrix: NDArray[Any]) -> NDArray[Any]:
            return np.take_along_axis(matrix, to.order, axis=1)

        return replace(
            self,
            item=moved(self.item),
            score=self.score if to.score is None else to.score,
            aims={name: moved(aim) for name, aim in self.aims.items()},
            outcome=None if self.outcome is None else {name: moved(part) for name, part in self.outcome.items()},
        )


@dataclass(frozen=True)
class Reordered:
    """Another order of the lists.

    A step that moves items without scoring them leaves `score` out: places keep their scores, and items take the score of
    the place they come to, so that scores never rise along a list.
    """

    order: Ints  # [U, C], a permutation of the columns in every row, those without an item last
    score: Floats | None = None  # [U, C], of the new places
    warnings: Counter[str] = field(
        default_factory=Counter
    )  # what could not be done as asked, by how many lists or items


class Reranker(Protocol):
    """A tuned re-ranker."""

    def rerank(self, lists: Lists, k: int) -> Reordered:
        """Choose the first k places; the other candidates follow."""
        ...

    def state(self) -> dict[str, Any]:
        """What was tuned, as plain JSON; `restore` of the same module reads it."""
        ...


def by_place(place: Ints, present: NDArray[np.bool_]) -> Ints:
    """The order int64 [U, C] that puts chosen candidates at their place [U, C] (-1 = not chosen) and the rest behind
    them in the order they had, columns without an item last.
    """
    width = place.shape[1]
    column = np.arange(width)
    key = np.where(place >= 0, place, np.where(present, width + column, 2 * width + column))
    return np.argsort(key, axis=1, kind="stable")


def shown(lists: Lists, order: Ints, k: int) -> Ints:
    """The first k columns of an order, int64 [U, k]; -1 where the list has no item left."""
    first = np.full((len(order), k), -1, dtype=np.int64)
    cut = order[:, :k]
    first[:, : cut.shape[1]] = np.where(np.take_along_axis(lists.present, cut, axis=1), cut, -1)
    return first
