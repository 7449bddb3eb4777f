"""The customer of the synthetic shop as an outcome: what each one would do with every candidate.

The shop's generator knows its customers: their tastes come back from its seed, and `next_item_chances` are the rules that
made the events. Their chances, in place of the one event that was drawn from them, say what a list is worth without the
noise of the draw.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.data.shop import assortment, customers
from genrec.data.shop.files import DAY_MS, OPENING_MS
from genrec.rank.rerank.parts.lists import Floats, Ints

_AT_ONCE = 1024


class Shop:
    """A shop as its settings open it, with the tastes of its customers."""

    def __init__(self, *, num_users: int, num_items: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.goods = assortment.assort(num_items, generator)
        self.tastes = customers.draw_tastes(num_users, generator)

    def outcome(
        self,
        item: Ints,
        item_ids: Sequence[str],
        user_ids: Sequence[str],
        histories: Sequence[NDArray[np.integer]],
        times_ms: Ints,
    ) -> dict[str, Floats]:
        """`next` and `purchase` of `Lists.outcome`, float32 [U, C].

        item: [U, C] items of the catalogue, -1 = none. item_ids: of the catalogue. user_ids, histories (items of the
        catalogue, oldest first), times_ms (when the next item is chosen): of the U customers.
        """
        numbers = np.array([int(name[1:]) for name in item_ids])  # item of the catalogue -> item of the shop
        of_users = np.array([int(name[1:]) for name in user_ids])
        result = {name: np.zeros(item.shape, dtype=np.float32) for name in ("next", "purchase")}
        for start in range(0, len(item), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            affinity, own, tilt = customers.choice_weights(self.goods, self.tastes, of_users[rows])
            taken = [numbers[history] for history in histories[rows]]
            days = (times_ms[rows] - OPENING_MS) / DAY_MS
            free = self.goods.launch_day[None, :] <= days[:, None]
            for row, items in enumerate(taken):
                free[row, items] = False
            last, previous = (np.array([t[-back] if len(t) >= back else -1 for t in taken]) for back in (1, 2))
            chances = customers.next_item_chances(self.goods, own, tilt, last, previous, free)
            there, place = item[rows] >= 0, numbers[np.maximum(item[rows], 0)]
            coming = np.where(there, np.take_along_axis(chances, place, axis=1), 0)
            bought = customers.purchase_chances(np.take_along_axis(affinity, place, axis=1))
            result["next"][rows], result["purchase"][rows] = coming, coming * bought
        return result
