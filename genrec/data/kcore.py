"""Iterative k-core filtering of user-item events."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genrec.data.columns_on_disk import Chunks, ColumnsOnDisk, add_counts

_PAIR = {"user": np.int32, "item": np.int32}


class Core(NamedTuple):
    """A k-core: the events whose user and item are both in it."""

    users: NDArray[np.bool_]  # [num_users]
    items: NDArray[np.bool_]  # [num_items]
    user_counts: NDArray[np.int64]  # [num_users], events in the core
    num_events: int
    all_events: int  # what the core was taken of
    all_users: int
    all_items: int


def k_core(events: Chunks, num_users: int, num_items: int, k: int, folder: Path) -> Core:
    """Which users and items remain when those with fewer than `k` events are removed until none is left to remove.

    events: int32 columns `user` and `item`, counted from 0. Every round reads the events that the round before left, from
    a file in `folder`, and holds two counts for each user and item. The core is unique, so that the order of removal does
    not matter (Seidman 1983, for bipartite graphs).
    """
    users, items = np.ones(num_users, dtype=bool), np.ones(num_items, dtype=bool)
    given: tuple[int, int, int] | None = None
    previous: ColumnsOnDisk | None = None
    for round_ in range(2**31):
        of_user, of_item = np.zeros(num_users, dtype=np.int32), np.zeros(num_items, dtype=np.int32)
        with ColumnsOnDisk(folder / f"core-{round_}", _PAIR) as kept:
            for chunk in events():
                pair = {name: chunk[name] for name in _PAIR}
                if round_:  # before, nothing was removed
                    stays = users[pair["user"]] & items[pair["item"]]
                    pair = {name: column[stays] for name, column in pair.items()}
                add_counts(of_user, pair["user"])
                add_counts(of_item, pair["item"])
                kept.append(**pair)
        if previous is not None:
            previous.remove()
        given = given or (kept.num_rows, int((of_user > 0).sum()), int((of_item > 0).sum()))
        users, items = of_user >= k, of_item >= k
        # Every user and item with an event left has enough of them: nothing more to remove.
        if users.sum() == (of_user > 0).sum() and items.sum() == (of_item > 0).sum():
            kept.remove()
            break
        events, previous = kept.chunks, kept
    assert given is not None
    return Core(users, items, of_user.astype(np.int64), kept.num_rows, *given)
