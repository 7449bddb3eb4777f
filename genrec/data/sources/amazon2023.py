"""Amazon Reviews 2023: `<Category>.jsonl.gz` and `meta_<Category>.jsonl.gz`, or any JSONL (.gz, .zst) with those fields.

Source: Hou et al., "Bridging Language and Items for Retrieval and Recommendation", arXiv 2403.03952.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genrec.data import amazon, amazon_hub, places
from genrec.data.reviews import Layout
from genrec.data.shards import Batch, Shard, SourceFile
from genrec.errors import DataError
from genrec.variants import setting

LAYOUT = Layout(
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
    category: str = setting(
        "",
        "Category, such as Industrial_and_Scientific: read from raw/review_categories and raw/meta_categories below "
        "data.path, or of the data set on the Hugging Face hub where data.path is not set.",
        later=True,
    )


def find(path: Path | None, options: Config) -> list[SourceFile]:
    """The files to read (see `amazon.find_files`)."""
    if not options.category:
        return amazon.find_files(path, options.reviews, options.metadata)
    if options.reviews or options.metadata:
        raise DataError("data.options: category names the files; leave reviews and metadata out, or category")
    root, reviews, metadata = amazon_hub.files_of(path, options.category)
    return places.reaching(root, lambda: amazon.find_files(root, (reviews,), (metadata,)))


def left_out(path: Path | None, options: Config) -> dict[str, str]:
    """Files of the folder that are not read, and why; other categories are not meant."""
    if options.category:
        return {}
    return amazon.left_out(path, options.reviews, options.metadata)


def read(shard: Shard, options: Config) -> Iterator[Batch]:
    """The rows of a shard: event = the row's own `event`, else purchase when verified, else review."""
    return amazon.read_shard(shard, LAYOUT)
