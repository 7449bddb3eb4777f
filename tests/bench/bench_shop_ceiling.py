"""How well the synthetic shop's next item can be known at all: the ceiling of every model trained on it.

    python -m tests.bench.bench_shop_ceiling [--users 3500] [--items 800] [--events 9.5] [--samples 4000]

Ranks the last item of every customer with at least five (the catalogue without items taken before), twice: knowing the
rules and the customer's taste, and knowing the rules alone. The latter is the posterior mean over tastes given the
customer's earlier items, by importance sampling from the prior; the effective sample size says how far to trust it.
"""

import argparse
import json

import numpy as np

from genrec.data.shop.assortment import Assortment
from genrec.data.shop.customers import SHARES, Visits, draw_tastes
from genrec.data.shop.files import open_shop

MIN_ITEMS, CUSTOMERS_AT_ONCE = 5, 128


class Tastes:
    """K sampled tastes as weights of the items, float32[K, N]: of a free choice and within a need."""

    def __init__(self, goods: Assortment, num_samples: int, seed: int) -> None:
        drawn, popularity = draw_tastes(num_samples, np.random.default_rng(seed)), goods.popularity.astype(np.float32)
        affinity = drawn.affinities(slice(0, num_samples), goods)
        self.free = np.exp(affinity + drawn.department[:, goods.department].astype(np.float32)) * popularity
        self.needed = np.exp(0.5 * affinity) * (popularity * len(popularity)) ** 0.5


def ranks_by_rules(goods: Assortment, visits: Visits, customers: np.ndarray, tastes: Tastes) -> tuple[np.ndarray, ...]:
    """Rank int[U] of each customer's last item by the posterior, and effective sample sizes float[U].

    S visits of the customers; see `genrec.data.shop.customers.next_item_chances` for the rules.
    """
    rows = np.flatnonzero(np.isin(visits.user, customers))
    owner = np.searchsorted(customers, visits.user[rows])
    item, place = visits.item[rows], np.arange(len(rows))
    first = np.searchsorted(owner, owner)
    last = np.where(place > first, item[place - 1], -1)
    previous = np.where(place > first + 1, item[place - 2], -1)
    final = np.append(owner[1:] != owner[:-1], True)
    free = goods.launch_day[None, :] <= visits.day[rows][:, None]
    for back in range(1, int((place - first).max()) + 1):
        later = np.flatnonzero(place - first >= back)
        free[later, item[later - back]] = False
    left = np.ones((len(tastes.free), len(rows)), dtype=np.float32)
    chance = np.zeros_like(left)  # of the item taken
    parts = []
    for share, relation, origin in (
        (SHARES["last"], goods.follows, last),
        (SHARES["previous"], goods.follows, previous),
        (SHARES["refill"], goods.refills, last),
    ):
        weights = (relation[origin] * free * (origin >= 0)[:, None]).astype(np.float32)
        total = tastes.needed @ weights.T
        scale = np.where(total > 0, share / np.where(total > 0, total, 1), 0).astype(np.float32)
        chance += scale * tastes.needed[:, item] * weights[place, item]
        left -= np.where(total > 0, np.float32(share), 0)
        parts.append((scale[:, final], weights[final], tastes.needed))
    whole = free.astype(np.float32)
    scale = left / (tastes.free @ whole.T)
    chance += scale * tastes.free[:, item]
    parts.append((scale[:, final], whole[final], tastes.free))
    log_chance = np.where(final, 0.0, np.log(np.maximum(chance, 1e-30)))
    log_weight = np.add.reduceat(log_chance, np.flatnonzero(np.append(True, final[:-1])), axis=1)
    weight = np.exp(log_weight - log_weight.max(0))
    weight /= weight.sum(0)
    mixed = sum(w * ((weight * s).T.astype(np.float32) @ table) for s, w, table in parts)
    own = mixed[np.arange(len(customers)), item[final]]
    return (mixed > own[:, None]).sum(1), 1 / (weight**2).sum(0)


def figures(ranks: np.ndarray) -> dict[str, float]:
    """HR@10 and NDCG@10 of 0-based ranks."""
    hit = ranks < 10
    return {"hr@10": round(float(hit.mean()), 4), "ndcg@10": round(float((hit / np.log2(ranks + 2)).mean()), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=3500)
    parser.add_argument("--items", type=int, default=800)
    parser.add_argument("--events", type=float, default=9.5)
    parser.add_argument("--samples", type=int, default=4000)
    args = parser.parse_args()
    goods, visits, _ = open_shop(num_users=args.users, num_items=args.items, mean_events=args.events, seed=0)
    counts = np.bincount(visits.user)
    customers = np.flatnonzero(counts >= MIN_ITEMS)
    final = np.flatnonzero(np.diff(visits.user, append=-1))
    known = visits.oracle_rank[final][counts[visits.user[final]] >= MIN_ITEMS]
    print(json.dumps({"knows": "rules and customer", "customers": len(customers), **figures(known)}))
    tastes = Tastes(goods, args.samples, seed=1)
    blocks = np.split(customers, np.arange(CUSTOMERS_AT_ONCE, len(customers), CUSTOMERS_AT_ONCE))
    ranks, sizes = (
        np.concatenate(x) for x in zip(*(ranks_by_rules(goods, visits, c, tastes) for c in blocks), strict=True)
    )
    size = {"median_effective_samples": round(float(np.median(sizes)))}
    print(json.dumps({"knows": "rules", "samples": args.samples, **figures(ranks), **size}))


if __name__ == "__main__":
    main()
