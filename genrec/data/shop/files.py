"""The files of the synthetic shop: the layout of Amazon Reviews 2023, with a small share of malformed rows."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from genrec.data.shards import SourceFile
from genrec.data.shop import assortment, customers
from genrec.data.shop.vocabulary import COMPLAINTS, PRAISE

REVIEWS, METADATA = "reviews.jsonl.gz", "meta_reviews.jsonl.gz"
OPENING_MS = 1_577_836_800_000  # 2020-01-01 UTC
DAY_MS = 86_400_000
Malform = Callable[[dict[str, Any]], bytes]


def write_shop(
    folder: Path, *, num_users: int, num_items: int, mean_events: float, malformed_share: float, seed: int
) -> list[SourceFile]:
    """Generate a shop and write its reviews and metadata; the same settings give the same bytes."""
    goods, visits, rng = open_shop(num_users=num_users, num_items=num_items, mean_events=mean_events, seed=seed)
    reviews = [orjson.dumps(row) for row in _review_rows(goods, visits, rng)]
    metadata = [orjson.dumps(assortment.metadata(goods, item, rng)) for item in range(num_items)]
    _write_lines(folder / REVIEWS, with_malformed(reviews, malformed_share, MALFORMED_REVIEWS, rng))
    _write_lines(folder / METADATA, with_malformed(metadata, malformed_share, MALFORMED_METADATA, rng))
    return [
        SourceFile("interactions", folder / REVIEWS, REVIEWS),
        SourceFile("items", folder / METADATA, METADATA),
    ]


def open_shop(
    *, num_users: int, num_items: int, mean_events: float, seed: int
) -> tuple[assortment.Assortment, customers.Visits, np.random.Generator]:
    """The assortment and the visits behind the files, and the generator in the state in which the files go on."""
    rng = np.random.default_rng(seed)
    goods = assortment.assort(num_items, rng)
    return goods, customers.simulate(goods, num_users, mean_events, rng), rng


def user_id(user: int) -> str:
    return f"U{user:07d}"


def _review_rows(
    goods: assortment.Assortment, visits: customers.Visits, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Review records by time: every visit is a purchase or a click; some purchases are preceded by a click."""
    number = len(visits.user)
    bought = rng.random(number) < customers.purchase_chances(visits.affinity)
    looked_first = bought & (rng.random(number) < 0.15)
    times = OPENING_MS + (visits.day * DAY_MS).astype(np.int64)
    ratings = np.clip(np.rint(4.1 + 0.6 * visits.affinity + rng.standard_normal(number)), 1, 5)
    rows = np.concatenate([np.arange(number), np.flatnonzero(looked_first)])
    early = np.concatenate([np.zeros(number, bool), np.ones(int(looked_first.sum()), bool)])
    when = times[rows] - np.where(early, rng.integers(60_000, 3_600_000, len(rows)), 0)
    words = rng.integers(0, 1 << 30, len(rows))
    return [
        _review(
            goods, visits, row, int(when[place]), bool(bought[row]) and not early[place], ratings[row], words[place]
        )
        for place, row in ((p, int(rows[p])) for p in np.lexsort((visits.user[rows], when)))
    ]


def _review(
    goods: assortment.Assortment,
    visits: customers.Visits,
    row: int,
    when: int,
    purchase: bool,
    rating: float,
    word: int,
) -> dict[str, Any]:
    item = goods.item_id(int(visits.item[row]))
    record: dict[str, Any] = {
        "user_id": user_id(int(visits.user[row])),
        "parent_asin": item,
        "asin": item,
        "timestamp": when,
        "event": "purchase" if purchase else "click",
        "verified_purchase": purchase,
    }
    if purchase:
        said = PRAISE if rating >= 4 else COMPLAINTS
        title = said[int(word) % len(said)]
        record |= {"rating": float(rating), "title": title, "text": f"{title}.", "helpful_vote": int(word) % 3}
    return record


# ---- malformed rows ---------------------------------------------------------------------------------------------------


def _with(**values: Any) -> Malform:
    return lambda record: orjson.dumps({**record, **values})


def _without(*names: str) -> Malform:
    return lambda record: orjson.dumps({name: value for name, value in record.items() if name not in names})


def _cut(record: dict[str, Any]) -> bytes:
    line = orjson.dumps(record)
    return line[: len(line) // 2]


def _latin1(record: dict[str, Any]) -> bytes:
    return orjson.dumps({**record, "title": "Caf"}).replace(b'"Caf"', b'"Caf\xe9"')


def _repeat(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record)


# Reason that a reader must give -> how a valid record is damaged.
MALFORMED_REVIEWS: tuple[tuple[str, Malform], ...] = (
    ("bad_json", _cut),
    ("bad_utf8", _latin1),
    ("missing_user", _without("user_id")),
    ("missing_item", _without("asin", "parent_asin")),
    ("wrong_type", _with(timestamp="yesterday")),
    ("wrong_type", _with(user_id=12345)),
    ("bad_timestamp", _with(timestamp=-1)),
    ("bad_timestamp", _with(timestamp=9_999_999_999_999_999)),
    ("bad_rating", _with(rating=11.0)),
    ("duplicate_event", _repeat),
)
MALFORMED_METADATA: tuple[tuple[str, Malform], ...] = (
    ("bad_json", _cut),
    ("bad_utf8", _latin1),
    ("missing_item", _without("parent_asin")),
    ("wrong_type", _with(title=404)),
    ("duplicate_item", _repeat),
)


def with_malformed(
    lines: list[bytes], share: float, kinds: tuple[tuple[str, Malform], ...], rng: np.random.Generator
) -> list[bytes]:
    """The valid lines, in their order, and a malformed copy of some after the original: the valid data stays complete.

    `share` of the lines, rounded up, taken over the kinds in turn.
    """
    number = int(np.ceil(share * len(lines)))
    chosen = np.sort(rng.choice(len(lines), size=min(number, len(lines)), replace=False))
    malformed = {int(v): kinds[turn % len(kinds)][1](orjson.loads(lines[v])) for turn, v in enumerate(chosen)}
    mixed: list[bytes] = []
    for place, line in enumerate(lines):
        mixed.append(line)
        if place in malformed:
            mixed.append(malformed[place])
    return mixed


def _write_lines(path: Path, lines: list[bytes]) -> None:
    """A gzip file without name and time in its header: same lines, same bytes."""
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as file:
        file.write(b"\n".join(lines) + b"\n")
