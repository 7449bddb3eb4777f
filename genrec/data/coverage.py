"""What a reader should know of how the input was read: values that were changed by a rule, and items without texts."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from genrec.config import DataConfig
from genrec.errors import DataError

CHANGES = {  # by the names that a source counts them under
    "events_in_both": "events of the event log were in the files too and count once",
    "cleaned_ids": "ids had blanks around them or a fraction of zeros, which were removed",
    "missing_words": "values were a word for a missing value (nan, None, null, ...) and count as missing",
    "lists_in_text": "lists were written as text and were read as lists",
    "html": "texts held HTML (tags or entities) and were read as its text",
    "page_scripts": "texts were the script of a page and count as missing",
}
MANY = 0.05  # share of the items with events that may lack metadata or texts without a warning
_EXAMPLES = 3
_NAMES = 5


def read_in_words(data: Mapping[str, Any]) -> list[str]:
    """Sentences on what was read; data: the section `data` of report.json."""
    counted = {
        "interactions_read": "interactions read",
        "items_described": "items described",
        "items_without_metadata": "items with events and without metadata",
        "items_without_text": "without any text",
    }
    parts = [f"{data[name]:,} {what}" for name, what in counted.items() if name in data]
    return [
        ", ".join([*parts, f"{sum(data['quarantined'].values()):,} rows set aside"]),
        *changes_in_words(data.get("changes", {})),
    ]


def left_out_in_words(reasons: Mapping[str, str]) -> list[str]:
    """A sentence for each reason why files were not read; reasons: by the name of the file."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(name)
    return [
        f"not read: {', '.join(names[:_NAMES])}{f' and {len(names) - _NAMES} more' if len(names) > _NAMES else ''} ({reason})"
        for reason, names in by_reason.items()
    ]


def changes_in_words(changes: Mapping[str, int]) -> list[str]:
    """One sentence for each rule that changed something."""
    return [f"{number:,} {CHANGES[name]}" for name, number in changes.items() if number]


def described(items: pl.DataFrame) -> pl.DataFrame:
    """The items that have any text."""
    texts = [pl.col(name) != "" for name in ("title", "description", "brand")]
    return items.filter(pl.any_horizontal(*texts, pl.col("categories").list.len() > 0))


def metadata_warnings(seen: pl.DataFrame, items: pl.DataFrame, config: DataConfig) -> list[str]:
    """Sentences where many items with events have no metadata, or no text in it.

    seen: item_id of the items with events; items: rows of ITEMS. Raises DataError where there is metadata, and more than
    `data.max_share_without_metadata` of the items have none.
    """
    without = seen.join(items, on="item_id", how="anti")["item_id"].sort()
    share = len(without) / max(1, seen.height)
    warnings = []
    if share > MANY:
        text = f"{len(without):,} of {seen.height:,} items with events ({share:.0%}) have no metadata"
        if items.height:
            text += f", such as {_listed(without)}; {_other_side(seen, items, without)}"
        if items.height and share > config.max_share_without_metadata:
            raise DataError(
                f"{text}. That is more than data.max_share_without_metadata = {config.max_share_without_metadata:g}: write "
                "the ids alike in both tables, or raise the share"
            )
        warnings.append(text)
    no_text = seen.join(items, on="item_id", how="semi").join(described(items), on="item_id", how="anti")
    if no_text.height > MANY * seen.height:
        warnings.append(
            f"{no_text.height:,} of {seen.height:,} items with events ({no_text.height / seen.height:.0%}) have metadata "
            f"without any text, such as {_listed(no_text['item_id'].sort())}"
        )
    return warnings


def _other_side(seen: pl.DataFrame, items: pl.DataFrame, without: pl.Series) -> str:
    """The ids that metadata is there for and events are not, and what would make the two sides agree."""
    unused = items.join(seen, on="item_id", how="anti")["item_id"].sort()
    if not len(unused):
        return "every item of the metadata has events"
    text = f"items without events are {_listed(unused)}"
    for what, rule in (
        ("leading zeros", pl.element().str.strip_chars_start("0")),
        ("capital letters", pl.element().str.to_lowercase()),
        ("signs other than letters and digits", pl.element().str.replace_all(r"[^\pL\pN]", "")),
    ):
        one, other = (
            pl.select(pl.lit(ids).implode().list.eval(rule)).to_series().explode() for ids in (without, unused)
        )
        if 2 * one.is_in(other.implode()).sum() > len(without):
            return f"{text}: without {what} they are the same"
    return text


def _listed(ids: pl.Series) -> str:
    return ", ".join(repr(value) for value in ids.head(_EXAMPLES))
