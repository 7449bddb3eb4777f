"""Rules of a shop: new items, and the best sellers of the categories a customer looks at.

New items are those with at most `new_count` training events: those of the history's categories first, then the others,
and within each by the time of their last event, items without any behind them. Best sellers are the items of the
history's categories (the most specific one of each item), by category weight times share of the category's training
events; a category weighs history_decay ** age of the items that have it. The two lists share the places by
`new_share`, evenly spread; an item that both hold keeps its better place. The score of place p (from 0) is 1 / (1 + p).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.recall.parts.channel import Channel
from genrec.recall.parts.index_files import State
from genrec.recall.parts.ranking import top_k, top_positive
from genrec.recall.parts.scorer import (
    History,
    Training,
    flatten,
    history_of_one,
    history_weights,
    items_of_one,
    positions,
)
from genrec.variants import setting

_LONGEST = 500  # places of each of the two lists


@dataclass(frozen=True)
class Config:
    """Rules."""

    new_share: float = setting(0.3, "Share of the places that go to new items; the others to best sellers.", ge=0, le=1)
    new_count: int = setting(5, "Training events of a new item, at most.", ge=0)
    history_decay: float = setting(0.8, "Weight of a history item's category is history_decay ** age.", gt=0, le=1)


CHOICES = {"history_decay": (0.4, 0.8)}
RANKING = ("history_decay",)


class Rules(Channel):
    """Scorer by place in the two lists.

    Args:
        leaf: int64 [num_items], the most specific category, -1 for none.
        counts: float32 [num_items], training events.
        newness: float32 [num_items], 0 for an item that is not new; more is newer, in (0, 1].
    """

    needs_history = False

    def __init__(
        self, leaf: NDArray[np.int64], counts: NDArray[np.float32], newness: NDArray[np.float32], options: Config
    ) -> None:
        self.leaf, self.counts, self.newness, self.options = leaf, counts, newness, options
        self.num_items = len(leaf)
        named = np.flatnonzero(leaf >= 0)
        self.num_categories = int(leaf.max(initial=-1)) + 1
        in_category = sp.csr_array(
            (np.ones(len(named), np.float32), (named, leaf[named])), shape=(self.num_items, self.num_categories)
        )
        sold = in_category.T @ counts
        self.share = np.zeros(self.num_items, dtype=np.float32)
        self.share[named] = counts[named] / np.maximum(sold[leaf[named]], 1)

    def signals(self, histories: Sequence[History], longest: int = _LONGEST) -> NDArray[np.float32]:
        """1 / (1 + place), -inf for an item that neither list has among its first `longest`."""
        weight = self._category_weights(histories)[:, self.leaf]  # of an item's category for the history
        best_sellers = weight * self.share
        new = np.where(self.newness > 0, self.newness + 2.0 * (weight > 0), 0)
        share = self.options.new_share
        place = np.full(weight.shape, np.inf)
        for value, part in ((new, share), (best_sellers, 1 - share)):
            if part > 0:
                place = np.minimum(place, _places(value.astype(np.float32), longest) / part)
        return np.where(np.isinf(place), -np.inf, 1 / (1 + place)).astype(np.float32)

    def _top(
        self, histories: Sequence[History], n: int, banned: Sequence[History] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if len(histories) != 1:
            return super()._top(histories, n, banned)
        out = np.empty(0, np.int64) if banned is None else items_of_one(banned[0], self.num_items)
        # Whatever else the lists have stands behind so many of the shorter steps between places.
        scores = self.signals(histories, min(_LONGEST, n + len(out)))
        scores[0, out] = -np.inf
        return top_positive(scores[0], n)

    def _category_weights(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, categories + 1]: decay ** age summed over the items of each category; 0, the last, of none."""
        decay = self.options.history_decay
        weight = np.zeros((len(histories), self.num_categories + 1), dtype=np.float32)
        if len(histories) == 1:
            items, weights = history_of_one(histories[0], self.num_items, decay)
            np.add.at(weight[0], self.leaf[items], weights)
        else:
            of_items = history_weights(histories, self.num_items, decay)
            rows = np.repeat(np.arange(len(histories)), np.diff(of_items.indptr))
            np.add.at(weight, (rows, self.leaf[of_items.indices]), of_items.data)
        weight[:, -1] = 0
        return weight

    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, num_items]: 1 / (1 + place), 0 for an item that no rule lists."""
        return np.maximum(self.signals(histories), 0)

    def with_options(self, options: Config) -> "Rules":
        """The same lists with the decay of the options."""
        return Rules(self.leaf, self.counts, self.newness, options)

    def state(self) -> State:
        """Categories, counts, newness and the options."""
        arrays = {"leaf": self.leaf, "counts": self.counts, "newness": self.newness}
        return arrays, {name: getattr(self.options, name) for name in ("new_share", "new_count", "history_decay")}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "Rules":
        """The channel that has this state."""
        return cls(arrays["leaf"], arrays["counts"], arrays["newness"], Config(**settings))


load = Rules.load


def _places(values: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """float32 [b, num_items]: the place of each positive value in its row, largest first; inf beyond the list."""
    items, _ = top_k(np.where(values > 0, values, np.float32(-np.inf)), longest)
    places = np.full(values.shape, np.inf, dtype=np.float32)
    rows, order = np.nonzero(items >= 0)
    places[rows, items[rows, order]] = order
    return places


def fit(data: Training, options: Config) -> Rules:
    """Count the training events; without side information no item has a category."""
    rows, items = flatten(data.sequences, data.num_items)
    counts = np.bincount(items, minlength=data.num_items).astype(np.float32)
    if data.timestamps is None:
        times, _ = positions(rows, len(data.sequences))
    else:
        times = np.concatenate([*data.timestamps, np.empty(0, np.int64)])
    latest = np.full(data.num_items, -1.0)
    np.maximum.at(latest, items, np.searchsorted(np.sort(times), times) / max(len(times), 1))
    newness = np.where(counts <= options.new_count, (latest + 1.5) / 2.5, 0)  # an item without events is the least new
    leaf = data.side.leaf if data.side is not None else np.full(data.num_items, -1, dtype=np.int64)
    return Rules(leaf, counts, newness.astype(np.float32), options)
