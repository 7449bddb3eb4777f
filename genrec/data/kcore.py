"""Iterative k-core filtering of user-item events."""

import numpy as np


def k_core(users: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """Which events survive when users and items with fewer than `k` events are removed until none is left to remove.

    users, items: int [n], ids from 0. Returns bool [n], the largest set of events in which every user and every item
    has at least `k` of them; it is unique, so the order of removal does not matter (Seidman 1983, for bipartite graphs).
    """
    kept = np.arange(len(users))
    num_users = int(users.max(initial=-1)) + 1
    num_items = int(items.max(initial=-1)) + 1
    while True:
        user_ok = np.bincount(users[kept], minlength=num_users) >= k
        item_ok = np.bincount(items[kept], minlength=num_items) >= k
        stays = user_ok[users[kept]] & item_ok[items[kept]]
        if stays.all():
            mask = np.zeros(len(users), dtype=bool)
            mask[kept] = True
            return mask
        kept = kept[stays]
