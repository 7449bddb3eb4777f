"""How customers of the synthetic shop come to their next item."""

from dataclasses import dataclass

import numpy as np

from genrec.data.shop.assortment import DAYS, Assortment
from genrec.data.shop.vocabulary import BRANDS, DEPARTMENTS

# What the next item follows from: a need left by the last item, one left by the item before it, an emptied pack,
# or nothing but the customer's taste.
SHARES = {"last": 0.45, "previous": 0.15, "refill": 0.10, "taste": 0.30}
MAX_STEPS = 40
_CHUNK = 1024


@dataclass(frozen=True)
class Visits:
    """Events in the order of the customers, as parallel arrays."""

    user: np.ndarray  # int
    item: np.ndarray  # int
    day: np.ndarray  # float, days from the opening of the shop
    affinity: np.ndarray  # float, how well the item fits the customer's taste (0 = average)
    oracle_rank: np.ndarray  # int, place of the item in the ranking of one who knows these rules and the customer


@dataclass(frozen=True)
class Tastes:
    department: np.ndarray  # float [users, departments], log weights
    brand: np.ndarray  # float [users, brands], log weights
    tier: np.ndarray  # float [users], preferred price tier

    def affinities(self, users: slice | np.ndarray, goods: Assortment) -> np.ndarray:
        """float32 [users, items], log weight of every item by brand and price tier."""
        tier_gap = np.abs(self.tier[users, None] - goods.tier[None, :])
        return (self.brand[users][:, goods.brand] - 0.8 * tier_gap).astype(np.float32)


def draw_tastes(num_users: int, rng: np.random.Generator) -> Tastes:
    """Independent tastes: a few departments matter to a customer, some brands are liked, one price tier fits."""
    return Tastes(
        department=1.6 * rng.standard_normal((num_users, len(DEPARTMENTS))),
        brand=0.7 * rng.standard_normal((num_users, len(BRANDS))),
        tier=rng.uniform(0, 2, num_users),
    )


def simulate(goods: Assortment, num_users: int, mean_events: float, rng: np.random.Generator) -> Visits:
    """All visits of `num_users` customers, `mean_events` items each on average; nobody takes an item twice."""
    tastes = draw_tastes(num_users, rng)
    # One in fourteen looks in once or twice; the others stay for at least five items.
    lengths = np.where(
        rng.random(num_users) < 0.07,
        rng.integers(1, 4, num_users),
        5 + rng.geometric(1 / max(mean_events - 4.0, 1.0), num_users) - 1,
    ).clip(1, MAX_STEPS)
    starts = rng.uniform(0, 0.75 * DAYS, num_users)
    parts = [
        _simulate_chunk(goods, tastes, slice(low, min(low + _CHUNK, num_users)), lengths, starts, rng)
        for low in range(0, num_users, _CHUNK)
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[2], columns[0]))
    return Visits(*(column[order] for column in columns))


def _simulate_chunk(
    goods: Assortment,
    tastes: Tastes,
    users: slice,
    lengths: np.ndarray,
    starts: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    affinity, own, tilt = choice_weights(goods, tastes, users)
    numbers = np.arange(users.start, users.stop)
    open_items = np.ones(own.shape, dtype=bool)  # not taken yet
    day = starts[users].copy()
    last = np.full(len(numbers), -1)
    previous = last.copy()
    events = []
    for step in range(int(lengths[users].max())):
        alive = np.flatnonzero(lengths[users] > step)
        free = open_items[alive] & (goods.launch_day[None, :] <= day[alive, None])
        chances = next_item_chances(goods, own[alive], tilt[alive], last[alive], previous[alive], free)
        item = _draw(chances, rng)
        chosen = chances[np.arange(len(alive)), item]
        rank = (chances > chosen[:, None]).sum(axis=1)
        events.append((numbers[alive], item, day[alive], affinity[alive, item], rank))
        open_items[alive, item] = False
        previous[alive], last[alive] = last[alive], item
        day[alive] += rng.exponential(8.0, len(alive)) + 0.01
    return tuple(np.concatenate(column) for column in zip(*events, strict=True))


def choice_weights(
    goods: Assortment, tastes: Tastes, users: slice | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Affinity, weight of a free choice and weight within a need of every item, each float32 [users, items]."""
    affinity = tastes.affinities(users, goods)
    department = tastes.department[users][:, goods.department].astype(np.float32)
    own = np.exp(affinity + department) * goods.popularity.astype(np.float32)
    # A need decides the category; taste and popularity only tilt the choice within it.
    tilt = np.exp(0.5 * affinity) * (goods.popularity.astype(np.float32) * len(goods.popularity)) ** 0.5
    return affinity, own, tilt


def purchase_chances(affinity: np.ndarray) -> np.ndarray:
    """The chance that a visit of an item of this affinity is a purchase; else it is a click."""
    return 1 / (1 + np.exp(-(0.6 + affinity)))


def next_item_chances(
    goods: Assortment,
    own: np.ndarray,
    tilt: np.ndarray,
    last: np.ndarray,
    previous: np.ndarray,
    free: np.ndarray,
) -> np.ndarray:
    """float32 [users, items]: the chance of every item to be next; rows add up to 1.

    own, tilt: float [users, items] weights of a free choice and within a need; last, previous: int [users], -1 where
    there is none; free: bool [users, items], what can be taken. A need that nothing can meet falls back to taste.
    """
    chances = np.zeros_like(own)
    left = np.ones(len(own), dtype=np.float32)
    for share, relation, origin in (
        (SHARES["last"], goods.follows, last),
        (SHARES["previous"], goods.follows, previous),
        (SHARES["refill"], goods.refills, last),
    ):
        weights = relation[origin] * tilt * free
        total = weights.sum(axis=1)
        met = (origin >= 0) & (total > 0)
        chances += np.where(met, share / np.where(met, total, 1), 0).astype(np.float32)[:, None] * weights
        left -= np.where(met, share, 0).astype(np.float32)
    weights = own * free
    return chances + (left / weights.sum(axis=1))[:, None] * weights


def _draw(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int [rows], one column of every row, drawn by weight."""
    cumulative = np.cumsum(chances, axis=1, dtype=np.float64)
    cut = rng.random(len(chances)) * cumulative[:, -1]
    return (cumulative <= cut[:, None]).sum(axis=1).clip(0, chances.shape[1] - 1)
