"""The simulated customer is the one whose events the shop's files hold."""

import numpy as np

from genrec.data.shop.files import DAY_MS, OPENING_MS, open_shop, user_id
from genrec.rank.rerank.parts.simulated import Shop

SIZE = {"num_users": 80, "num_items": 60}


def outcomes(seed):
    goods, visits, _ = open_shop(**SIZE, mean_events=9.5, seed=0)
    last = np.flatnonzero(np.diff(visits.user, append=-1))
    last = last[last > np.searchsorted(visits.user, visits.user[last])]  # at least one item before
    users = visits.user[last]
    histories = [visits.item[np.searchsorted(visits.user, u) : row] for u, row in zip(users, last, strict=True)]
    ids = [goods.item_id(i) for i in range(60)][::-1]  # a catalogue in another order than the shop's
    histories = [59 - history for history in histories]
    item = np.tile(np.append(np.arange(60), -1), (len(users), 1))
    times = OPENING_MS + np.ceil(visits.day[last] * DAY_MS).astype(np.int64)
    shop = Shop(**SIZE, seed=seed)
    found = shop.outcome(item, ids, [user_id(u) for u in users], histories, times)
    return found, histories, 59 - visits.item[last]


def test_chances_over_the_catalogue_add_up_to_one_and_are_zero_for_what_was_taken():
    found, histories, _ = outcomes(seed=0)
    assert np.allclose(found["next"].sum(axis=1), 1, atol=1e-4)
    assert (found["next"][:, 60] == 0).all()
    for row, history in enumerate(histories):
        assert (found["next"][row, history] == 0).all()
    assert (found["purchase"] <= found["next"]).all()
    assert 0.3 < found["purchase"].sum() / found["next"].sum() < 0.9


def test_the_customers_of_the_same_seed_took_what_the_chances_say():
    (own, _, taken), (other, _, _) = outcomes(seed=0), outcomes(seed=1)
    rows = np.arange(len(taken))
    assert own["next"][rows, taken].mean() > 2 * other["next"][rows, taken].mean()
    assert (own["next"][rows, taken] > 0).all()
