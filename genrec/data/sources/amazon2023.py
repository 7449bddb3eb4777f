"""Amazon Reviews 2023: `<Category>.jsonl.gz` and `meta_<Category>.jsonl.gz`, or any JSONL (.gz, .zst) with those fields.

Source: Hou et al., "Bridging Language and Items for Retrieval and Recommendation", arXiv 2403.03952.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genrec.data import amazon
from genrec.data.shards import Batch, Shard, SourceFile
from genrec.variants import setting

LAYOUT = amazon.Layout(
    user="user_id",
    items=("parent_asin", "asin"),  # variants of a product share the parent, and metadata is by parent
    rating="rating",
    timestamp="timestamp",
    milliseconds=1,
    verified="verified_purchase",
    descriptions=("description", "features"),
    brands=("store",),
    categories=("categories", "main_category"),
)


@dataclass(frozen=True)
class Config:
    """Which files of `data.path` are read."""

    reviews: tuple[str, ...] = setting(
        (), "Review files in data.path; empty takes every JSONL (.gz, .zst) not named meta_*."
    )
    metadata: tuple[str, ...] = setting((), "Metadata files in data.path; empty takes every meta_* file.")


def find(path: Path | None, options: Config) -> list[SourceFile]:
    """The files to read (see `amazon.find_files`)."""
    return amazon.find_files(path, options.reviews, options.metadata)


def left_out(path: Path | None, options: Config) -> dict[str, str]:
    """Files of the folder that are not read, and why."""
    return amazon.left_out(path, options.reviews, options.metadata)


def read(shard: Shard, options: Config) -> Iterator[Batch]:
    """The rows of a shard: event = the row's own `event`, else purchase when verified, else review."""
    return amazon.read_shard(shard, LAYOUT)
