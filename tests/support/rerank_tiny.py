"""Small candidate lists: by hand, drawn by Hypothesis, and planted ones in which an aim pays."""

import numpy as np
from hypothesis import strategies as st

from genrec.rank.rerank.parts.lists import ItemFacts, Lists

PACKAGE = "genrec.rank.rerank"
SMALL = {"fusion": {"evaluations": 60, "search": "cem"}, "ddpg": {"lists": 256, "at_once": 16, "hidden": 8}}


def facts(num_items: int, seed: int = 0, vectors: bool = True, categories: int = 4, brands: int = 3) -> ItemFacts:
    """Items with random vectors, categories and brands (-1 = unknown among them)."""
    generator = np.random.default_rng(seed)
    return ItemFacts(
        category=generator.integers(-1, categories, num_items),
        brand=generator.integers(-1, brands, num_items),
        category_names=tuple(f"category {c}" for c in range(categories)),
        brand_names=tuple(f"brand {b}" for b in range(brands)),
        vectors=generator.standard_normal((num_items, 5)).astype(np.float32) if vectors else None,
        in_stock=generator.random(num_items) < 0.8,
    )


def lists(
    num_users: int = 6, width: int = 8, num_items: int = 30, seed: int = 0, empty: float = 0.15, vectors: bool = True
) -> Lists:
    """Random lists of different lengths, some without a candidate, prices missing here and there."""
    generator = np.random.default_rng(seed)
    item = np.argsort(generator.random((num_users, num_items)), axis=1)[:, :width].astype(np.int64)
    length = np.where(generator.random(num_users) < empty, 0, generator.integers(1, width + 1, num_users))
    item[np.arange(width) >= length[:, None]] = -1
    score = -np.sort(-generator.standard_normal((num_users, width)).astype(np.float32), axis=1)
    price = generator.random((num_users, width)).astype(np.float32)
    price[generator.random(price.shape) < 0.2] = np.nan
    target = (generator.random((num_users, width)) < 0.3) & (item >= 0)
    target &= target.cumsum(axis=1) == 1
    paid = target & (generator.random(target.shape) < 0.5)
    return Lists(
        item=item,
        score=score,
        aims={
            "purchase": generator.random((num_users, width)).astype(np.float32),
            "price": price,
            "new": (generator.random((num_users, width)) < 0.3).astype(np.float32),
            "novelty": np.full((num_users, width), 3.0, dtype=np.float32),  # constant
        },
        facts=facts(num_items, seed, vectors),
        user=generator.standard_normal((num_users, 3)).astype(np.float32),
        segment=generator.integers(0, 2, num_users),
        outcome={"next": target.astype(np.float32), "purchase": paid.astype(np.float32)},
    )


@st.composite
def any_lists(draw: st.DrawFn) -> Lists:
    """Lists of any shape, empty ones, single items and catalogues without vectors among them."""
    width = draw(st.integers(1, 12))
    return lists(
        num_users=draw(st.integers(1, 5)),
        width=width,
        num_items=draw(st.integers(width, width + 20)),
        seed=draw(st.integers(0, 10_000)),
        empty=draw(st.sampled_from([0.0, 0.3, 1.0])),
        vectors=draw(st.booleans()),
    )


def paying(num_users: int = 400, width: int = 12, seed: int = 0) -> Lists:
    """Lists whose purchases follow the aim `purchase`, which the score knows nothing of.

    The next item is one of the first six candidates, all as likely; it is bought where the ranker's chance of a purchase
    is above one half.
    """
    generator = np.random.default_rng(seed)
    made = lists(num_users, width, 40, seed, empty=0.0)
    item = np.argsort(generator.random((num_users, 40)), axis=1)[:, :width].astype(np.int64)
    chance = generator.random((num_users, width)).astype(np.float32)
    coming = np.arange(width) == generator.integers(0, 6, num_users)[:, None]
    return Lists(
        item=item,
        score=made.score,
        aims={"purchase": chance, "novelty": generator.random((num_users, width)).astype(np.float32)},
        facts=made.facts,
        user=made.user,
        segment=made.segment,
        outcome={"next": coming.astype(np.float32), "purchase": (coming & (chance > 0.5)).astype(np.float32)},
    )
