"""The items that can be recommended, as an immutable snapshot: a change makes another one, and readers of this one never
see it half done.
"""

import copy
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.search.trie import Trie
from genrec.serve.new_items import NewItem, NewItemIds
from genrec.serve.query import Filter
from genrec.tables import read_sids, read_table

COLUMNS = ["item_id", "title", "brand", "categories", "train_count"]


class Catalogue:
    """N items, item i in row i; the first are those the model was trained on, those after them came later.

    Args:
        item_ids: distinct ids of the shop's data.
        titles, brands, categories: of the items; categories general to specific.
        sids: int32[N, L], unique.
        num_codes: codes a level, K.
        popularity: int64[N], training events with the item.
        in_stock: bool[N]; items out of stock are never recommended. None: all are in stock.
        trie: of `sids`, where there is one already.
        added: float32[M, V], text vectors of the last M items, which the model was not trained on; None: there are none.

    Raises:
        DataError: columns of different lengths, an id that two items have, or semantic ids that are not unique.
    """

    def __init__(
        self,
        item_ids: Sequence[str],
        titles: Sequence[str],
        brands: Sequence[str],
        categories: Sequence[Sequence[str]],
        sids: NDArray[np.int32],
        num_codes: int,
        popularity: NDArray[np.int64],
        in_stock: NDArray[np.bool_] | None = None,
        trie: Trie | None = None,
        added: NDArray[np.float32] | None = None,
    ) -> None:
        self.item_ids, self.titles, self.brands = list(item_ids), list(titles), list(brands)
        self.categories = [tuple(names) for names in categories]
        self.sids, self.num_codes, self.popularity, self.added = sids, num_codes, popularity, added
        self.in_stock = np.ones(len(self.item_ids), dtype=bool) if in_stock is None else in_stock
        self.in_stock.flags.writeable = False
        lengths = {
            len(column) for column in (self.item_ids, titles, brands, categories, sids, popularity, self.in_stock)
        }
        if len(lengths) != 1:
            raise DataError(f"catalogue: columns of {sorted(lengths)} rows; the semantic ids are of another catalogue")
        self._index = {item_id: number for number, item_id in enumerate(self.item_ids)}
        if len(self._index) != len(self.item_ids):
            raise DataError("catalogue: an item id is there more than once; prepare the data again")
        whole = trie if trie is not None else Trie.from_sids(sids, num_codes)
        self.trie = whole.closing(np.flatnonzero(~self.in_stock))

    @classmethod
    def read(cls, catalogue: Path, sids: Path, num_codes: int) -> "Catalogue":
        """From catalogue.parquet of prepared data, or another table with its columns, and the folder of a sid artifact."""
        table = read_table(catalogue, columns=COLUMNS)
        ids, titles, brands, categories = (table[name].to_pylist() for name in COLUMNS[:4])
        return cls(ids, titles, brands, categories, read_sids(sids), num_codes, _counts(table["train_count"]))

    def __len__(self) -> int:
        return len(self.item_ids)

    def index(self, item_id: str) -> int | None:
        """The number of an item, None for an id that is not there."""
        return self._index.get(item_id)

    def numbers(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Numbers of those of the ids that are there, in their order."""
        found = (self._index.get(item_id) for item_id in item_ids)
        return np.fromiter((number for number in found if number is not None), dtype=np.int64)

    def allowed(self, filter_: Filter | None) -> NDArray[np.int64] | None:
        """Numbers of the items that a filter lets through, in or out of stock, ascending; None where it lets all."""
        if filter_ is None or (filter_.items is None and filter_.categories is None):
            return None
        let: NDArray[np.int64] | None = None
        if filter_.categories is not None:
            parts = [self._by_category[name] for name in filter_.categories if name in self._by_category]
            let = parts[0] if len(parts) == 1 else np.unique(np.concatenate([*parts, np.empty(0, np.int64)]))
        if filter_.items is not None:
            named = np.unique(self.numbers(list(filter_.items)))
            let = named if let is None else np.intersect1d(let, named, assume_unique=True)
        return let

    @functools.cached_property
    def by_popularity(self) -> NDArray[np.int64]:
        """Numbers of all items, the most popular first; equally popular ones in their order."""
        return np.argsort(-self.popularity, kind="stable")

    @functools.cached_property
    def popularity_scores(self) -> NDArray[np.float32]:
        """float32[N]: the logarithm of an item's share of the training events, each counted once more."""
        return np.log((self.popularity + 1) / (self.popularity.sum() + len(self))).astype(np.float32)

    @functools.cached_property
    def _by_category(self) -> dict[str, NDArray[np.int64]]:
        """Numbers of the items of every category."""
        found: dict[str, list[int]] = {}
        for item, names in enumerate(self.categories):
            for name in dict.fromkeys(names):
                found.setdefault(name, []).append(item)
        return {name: np.array(items, dtype=np.int64) for name, items in found.items()}

    def with_stock(self, in_stock: Mapping[str, bool]) -> "Catalogue":
        """A snapshot in which the items named are in stock (True) or out of it.

        Raises DataError that names ids that are not there.
        """
        unknown = [item_id for item_id in in_stock if item_id not in self._index]
        if unknown:
            raise DataError(
                f"stock: no item {', '.join(map(repr, unknown[:5]))} in the catalogue ({len(unknown)} unknown)"
            )
        stock = self.in_stock.copy()
        for item_id, there in in_stock.items():
            stock[self._index[item_id]] = there
        stock.flags.writeable = False
        snapshot = copy.copy(self)  # shares all that stays
        snapshot.in_stock, snapshot.trie = stock, self.trie.closing(np.flatnonzero(~stock))
        return snapshot

    def with_items(self, items: Sequence[NewItem], new_ids: NewItemIds) -> "Catalogue":
        """A snapshot with new items, in stock, after those that are there; items that are there stay as they are.

        Raises:
            DataError: an id is given twice, or an item gets no semantic id (see `NewItemIds.give`).
        """
        new = [item for item in items if item.item_id not in self._index]
        if len({item.item_id for item in new}) != len(new):
            raise DataError("new items: an item id is given twice")
        if not new:
            return self
        vectors, sids = new_ids.give(new, self.sids)
        return Catalogue(
            [*self.item_ids, *(item.item_id for item in new)],
            [*self.titles, *(item.title for item in new)],
            [*self.brands, *(item.brand for item in new)],
            [*self.categories, *(tuple(item.categories) for item in new)],
            np.concatenate([self.sids, sids]),
            self.num_codes,
            np.concatenate([self.popularity, np.zeros(len(new), dtype=np.int64)]),
            np.concatenate([self.in_stock, np.ones(len(new), dtype=bool)]),
            added=vectors if self.added is None else np.concatenate([self.added, vectors]),
        )


def _counts(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return column.to_numpy().astype(np.int64)
