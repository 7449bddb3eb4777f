"""A shop's tables as CSV files, as a user of conf/table.yaml brings them."""

import csv
from collections.abc import Sequence
from pathlib import Path

WORDS = ("steel", "lamp", "saw", "glue", "drill", "nut", "box", "tape")
DAY_S = 86_400
T0_S = 1_600_000_000


def write_items(path: Path, titles: dict[int, str]) -> None:
    """One row an item: `i<number>`, its title, a brand and one of four categories."""
    rows = [{"item_id": f"i{i}", "title": title, "description": "", "brand": "b", "categories": f"kind {i % 4}"}
            for i, title in titles.items()]  # fmt: skip
    _write(path, rows)


def write_purchases(path: Path, bought: Sequence[Sequence[int]], day: int = 0) -> None:
    """Row u of `bought` is what user `u<number>` bought on that day, in this order, a minute apart."""
    _write(path, [
        {"user_id": f"u{user}", "item_id": f"i{item}", "timestamp": T0_S + DAY_S * day + 60 * n, "event": "purchase", "rating": ""}
        for user, items in enumerate(bought) for n, item in enumerate(items)
    ])  # fmt: skip


def _write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as sink:
        writer = csv.DictWriter(sink, rows[0])
        writer.writeheader()
        writer.writerows(rows)
