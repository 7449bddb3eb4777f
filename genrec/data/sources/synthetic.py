"""The built-in shop: generated reviews and metadata with planted structure, read like Amazon Reviews 2023.

Customers have tastes (departments, brands, price tier) and needs: an item calls for a complement of the next category,
in the same brand, series and style where possible, and consumables are refilled in other pack sizes. The next item
depends on the last two, so order matters; titles name brand, series, category and style, so texts tell what fits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genrec.data import amazon
from genrec.data.shards import Batch, Shard, SourceFile
from genrec.data.shop.assortment import max_items
from genrec.data.shop.files import write_shop
from genrec.data.sources.amazon2023 import LAYOUT
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Size and seed of the shop."""

    num_users: int = setting(3500, "Customers.", ge=1, le=1_000_000)
    num_items: int = setting(800, "Items of the assortment.", ge=10, le=max_items())
    mean_events: float = setting(9.5, "Items a customer takes, on average.", ge=5, le=30)
    malformed_share: float = setting(0.005, "Share of additional rows that are malformed, of every kind.", ge=0, le=0.5)
    seed: int = setting(0, "Seed of everything that is drawn.", ge=0)


def find(path: Path | None, options: Config) -> list[SourceFile]:
    """Nothing: the files are generated."""
    return []


def generate(options: Config, folder: Path) -> list[SourceFile]:
    """Write the shop's files to `folder`."""
    return write_shop(
        folder,
        num_users=options.num_users,
        num_items=options.num_items,
        mean_events=options.mean_events,
        malformed_share=options.malformed_share,
        seed=options.seed,
    )


def read(shard: Shard, options: Config) -> Iterator[Batch]:
    """The rows of a shard, through the reader of the 2023 layout."""
    return amazon.read_shard(shard, LAYOUT)
