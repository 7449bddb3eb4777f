"""Settings of the lists for every customer."""

from typing import Literal

from pydantic import Field

from genrec.config.section import Section, knob
from genrec.paths import PathText


class RecommendConfig(Section):
    """Top lists for every customer, by the model in service or that of a run, as Parquet."""

    k: int = Field(10, ge=1, le=1000, description="Items of a list, at most.")
    beam_width: int = Field(20, ge=1, le=1000, description="Beams of the search; k where that is larger.")
    users: PathText | None = Field(
        None,
        description="File with the users to make lists for: Parquet or CSV with a column user_id, or text with one id a "
        "line. null: all users with an event.",
    )
    active_days: float | None = Field(
        None,
        gt=0,
        description="Only users with an event in the last so many days before the newest event of the data. null: all.",
    )
    seen_items: Literal["drop", "keep"] = Field(
        "drop", description="Whether items of a user's history may be in the user's list (keep) or not (drop)."
    )
    not_bought_days: float | None = Field(
        None,
        gt=0,
        description="Leaves out what a user bought in the last so many days before the newest event of the data; for "
        "seen_items keep, where all else of the history may come again. null: no such rule.",
    )
    bought_events: list[str] = Field(default=["purchase"], min_length=1, description="Event types that are a purchase.")
    in_stock: PathText | list[str] | None = Field(
        None,
        description="The only items that may be recommended: a list of item ids, or a file with them (Parquet or CSV with "
        "a column item_id, or text with one id a line). null: all.",
    )
    categories: list[str] | None = Field(
        None, description="Only items with at least one of these categories. null: all."
    )
    shard_size: int = Field(
        20_000, ge=1, le=1_000_000, description="Users of a shard: one Ray task, one Parquet file, done once."
    )
    out: PathText | None = knob(None, "Folder into which the finished lists are copied; null leaves them in the store.")
    batch_size: int = knob(256, "Users searched at once.", ge=1)

    def files(self) -> dict[str, str]:
        """The files that are named, by setting."""
        named = {"recommend.users": self.users, "recommend.in_stock": self.in_stock}
        return {setting: file for setting, file in named.items() if isinstance(file, str)}
