"""Tables: interactions.{parquet,csv} and items.{parquet,csv}, with column names that can be mapped.

CSV files (also .csv.gz) have a header. Times are seconds, milliseconds, microseconds or nanoseconds since 1970, ISO
texts, Parquet timestamps, or plain positions in a user's sequence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genrec.data import tables
from genrec.data.shards import Batch, Shard, SourceFile
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Names of the files and of their columns."""

    interactions: str = setting(
        "",
        "Interactions file in data.path; empty takes interactions.parquet, .csv or .csv.gz, and any parts: files called "
        "interactions-* or in a folder interactions/.",
    )
    items: str = setting(
        "", "Items file in data.path; empty takes items.parquet, .csv or .csv.gz, and any parts as above."
    )
    user_id: str = setting("user_id", "Column of the user id (interactions).")
    item_id: str = setting("item_id", "Column of the item id (both files).")
    timestamp: str = setting("timestamp", "Column of the time (interactions).")
    event: str = setting("event", "Column of the event type (interactions; may be absent).")
    rating: str = setting("rating", "Column of the rating (interactions; may be absent).")
    title: str = setting("title", "Column of the title (items; may be absent).")
    description: str = setting("description", "Column of the description (items; may be absent).")
    brand: str = setting("brand", "Column of the brand (items; may be absent).")
    categories: str = setting("categories", "Column of the categories, a list or a delimited text (may be absent).")
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns", "iso", "position"] = setting(
        "auto", "What a time counts; auto decides by the size of the file's first values."
    )
    default_event: str = setting("purchase", "Event type of rows that name none.")
    delimiter: str = setting(",", "Field delimiter of CSV files.")
    category_delimiter: str = setting("|", "Delimiter of category names in one text.")
    ignore: tuple[str, ...] = setting((), "Columns of the files that are left out on purpose.")


def find(path: Path | None, options: Config) -> list[SourceFile]:
    """The files to read, checked to have the mapped columns."""
    files = tables.find_files(path, options)
    for file in files:
        tables.check_columns(file, options)
    return files


def read(shard: Shard, options: Config) -> Iterator[Batch]:
    """The rows of a shard."""
    return tables.read_shard(shard, options)
