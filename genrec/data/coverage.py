"""What a reader should know of how the input was read: values that were changed by a rule, and items without texts."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.config import DataConfig
from genrec.errors import DataError

CHANGES = {  # by the names that a source counts them under
    "events_in_both": "events of the event log were in the files too and count once",
    "cleaned_ids": "ids had blanks around them or a fraction of zeros, which were removed",
    "missing_words": "values were a word for a missing value (nan, None, null, ...) and count as missing",
    "lists_in_text": "lists were written as text and were read as lists",
    "html": "texts held HTML (tags or entities) and were read as its text",
    "trailing_bytes": "compressed files had other bytes behind their end, which were left out",
    "page_scripts": "texts were the script of a page and count as missing",
}
MANY = 0.05  # share of the items with events that may lack metadata or texts without a warning
_EXAMPLES = 3
_NAMES = 5
_COMPARED = 1_000_000  # ids without metadata that are compared with those of the metadata, to see why
_UNUSED = pa.schema([("item_id", pa.string())])


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


class MetadataCoverage:
    """Which items with events have metadata and texts, told range by range of the item ids; use it in a `with`.

    unused: the file to which the ids of items without events go.
    """

    def __init__(self, unused: Path) -> None:
        self._unused = unused
        self._writer = pq.ParquetWriter(unused, _UNUSED)
        self.seen = self.items = self.without_metadata = self.no_text = self.num_unused = 0
        self._without: list[pl.Series] = []
        self._held = 0
        self._no_text_ids: list[str] = []
        self._unused_ids: list[str] = []

    def __enter__(self) -> "MetadataCoverage":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add(self, seen: pl.DataFrame, items: pl.DataFrame) -> None:
        """seen: item_id of the items with events; items: rows of ITEMS, of the same range of ids; both in their order."""
        without = seen.join(items, on="item_id", how="anti", maintain_order="left")["item_id"]
        with_metadata = seen.join(items, on="item_id", how="semi", maintain_order="left")
        no_text = with_metadata.join(items.filter(has_text()), on="item_id", how="anti", maintain_order="left")[
            "item_id"
        ]
        unused = items.join(seen, on="item_id", how="anti", maintain_order="left")["item_id"]
        self.seen += seen.height
        self.items += items.height
        self.without_metadata += len(without)
        self.no_text += len(no_text)
        self.num_unused += len(unused)
        self._without.append(without.head(_COMPARED - self._held))
        self._held += len(self._without[-1])
        for examples, ids in ((self._no_text_ids, no_text), (self._unused_ids, unused)):
            examples.extend(ids.head(_EXAMPLES - len(examples)))
        if len(unused):
            self._writer.write_table(pa.table({"item_id": unused.to_arrow()}, schema=_UNUSED))

    def counts(self) -> dict[str, int]:
        """items with events, catalogue_items, items_without_metadata, items_without_text."""
        return {
            "items": self.seen,
            "catalogue_items": self.items,
            "items_without_metadata": self.without_metadata,
            "items_without_text": self.without_metadata + self.no_text,
        }

    def warnings(self, config: DataConfig) -> list[str]:
        """Sentences where many items with events have no metadata, or no text in it; before the spilled ids are removed.

        Raises DataError where there is metadata, and more than `data.max_share_without_metadata` of the items have none.
        """
        share = self.without_metadata / max(1, self.seen)
        warnings = []
        if share > MANY:
            text = f"{self.without_metadata:,} of {self.seen:,} items with events ({share:.0%}) have no metadata"
            without = pl.concat(self._without)
            if self.items:
                text += f", such as {_listed(without.head(_EXAMPLES))}; {self._other_side(without)}"
            if self.items and share > config.max_share_without_metadata:
                raise DataError(
                    f"{text}. That is more than data.max_share_without_metadata = {config.max_share_without_metadata:g}: "
                    "write the ids alike in both tables, or raise the share"
                )
            warnings.append(text)
        if self.no_text > MANY * self.seen:
            warnings.append(
                f"{self.no_text:,} of {self.seen:,} items with events ({self.no_text / self.seen:.0%}) have metadata "
                f"without any text, such as {_listed(self._no_text_ids)}"
            )
        return warnings

    def _other_side(self, without: pl.Series) -> str:
        """The ids that metadata is there for and events are not, and what would make the two sides agree."""
        if not self.num_unused:
            return "every item of the metadata has events"
        text = f"items without events are {_listed(self._unused_ids)}"
        for what, rule in (
            ("leading zeros", pl.element().str.strip_chars_start("0")),
            ("capital letters", pl.element().str.to_lowercase()),
            ("signs other than letters and digits", pl.element().str.replace_all(r"[^\pL\pN]", "")),
        ):
            one = _by_rule(without, rule)
            same = pl.zeros(len(one), pl.Boolean, eager=True)
            for batch in pq.ParquetFile(self._unused).iter_batches(batch_size=_COMPARED):
                same |= one.is_in(_by_rule(pl.DataFrame(pl.from_arrow(batch))["item_id"], rule).implode())
            if 2 * same.sum() > len(one):
                return f"{text}: without {what} they are the same"
        return text


def has_text() -> pl.Expr:
    """Whether an item, a row of ITEMS, has any text."""
    texts = [pl.col(name) != "" for name in ("title", "description", "brand")]
    return pl.any_horizontal(*texts, pl.col("categories").list.len() > 0)


def _by_rule(ids: pl.Series, rule: pl.Expr) -> pl.Series:
    return pl.select(pl.lit(ids).implode().list.eval(rule)).to_series().explode()


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(repr(value) for value in ids)
