"""Amazon Reviews 2018: `<Category>.json.gz` and `meta_<Category>.json.gz`, or any JSONL (.gz, .zst) with those fields.

Source: Ni, Li, McAuley, "Justifying Recommendations using Distantly-Labeled Reviews", EMNLP 2019.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genrec.data import amazon
from genrec.data.reviews import Layout
from genrec.data.shards import Batch, Shard, SourceFile
from genrec.variants import setting

LAYOUT = Layout(
    user="reviewerID",
    items=("asin",),
    rating="overall",
    timestamp="unixReviewTime",
    milliseconds=1000,
    verified="verified",
    descriptions=("description",),
    brands=("brand",),
    categories=("category", "categories"),
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
