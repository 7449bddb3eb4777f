"""What a user expects of the data (`data.expectations`), looked at in every run: data may grow old without changing."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from genrec.config.expectations import ExpectationsConfig
from genrec.data.coverage import has_text
from genrec.data.quality import time_range
from genrec.data.quarantine import clip
from genrec.errors import DataError
from genrec.tables import INTERACTIONS_FILE, ITEMS_FILE

_DAY_S = 86_400
_EXAMPLES = 3


def check_expectations(
    expected: ExpectationsConfig, ingested: Path, summary: Mapping[str, Any], now_s: float | None = None
) -> None:
    """Raises DataError that names every breach: the file, the column, the setting, what was found.

    ingested: the artifact of ingest, `summary` what its stage returned; now_s: seconds since 1970 (the clock's).
    """
    breaches = [*_counts(expected, summary), *_texts(expected, ingested, summary)]
    breaches += _age(expected, ingested, summary, time.time() if now_s is None else now_s)
    if breaches:
        raise DataError(f"{'; '.join(breaches)}. Mend the source, or change the setting")


def _counts(expected: ExpectationsConfig, summary: Mapping[str, Any]) -> Iterator[str]:
    columns = {"interactions": "all columns", "users": "column user_id", "items": "column item_id"}
    for what, column in columns.items():
        least, found = getattr(expected, f"min_{what}"), summary[what]
        if least is not None and found < least:
            yield f"{_broken(f'min_{what}', least, INTERACTIONS_FILE.name, column)}: {found:,} {what} are there"


def _texts(expected: ExpectationsConfig, ingested: Path, summary: Mapping[str, Any]) -> Iterator[str]:
    most, found = expected.max_share_without_text, summary.get("items_without_text", 0)
    if most is None or found <= most * summary["items"]:
        return
    seen = pl.scan_parquet(INTERACTIONS_FILE.path(ingested), glob=False).select(pl.col("item_id").unique())
    with_text = pl.scan_parquet(ITEMS_FILE.path(ingested), glob=False).filter(has_text())
    without = seen.join(with_text, on="item_id", how="anti").collect(engine="streaming")["item_id"].sort()
    yield (
        f"{_broken('max_share_without_text', most, ITEMS_FILE.name, 'title, description, brand and categories')}: "
        f"{found:,} of {summary['items']:,} items with events ({found / summary['items']:.1%}) have no text, such as "
        f"{', '.join(repr(clip(item, 80)) for item in without.head(_EXAMPLES))}"
    )


def _age(expected: ExpectationsConfig, ingested: Path, summary: Mapping[str, Any], now_s: float) -> Iterator[str]:
    most = expected.max_days_since_last_event
    if most is None:
        return
    broken = _broken("max_days_since_last_event", most, INTERACTIONS_FILE.name, "column timestamp")
    if summary["timestamps"] != "clock":
        yield f"{broken}: it holds positions, which say nothing of days"
        return
    latest_s = time_range(ingested)[1] / 1000
    days = (now_s - latest_s) / _DAY_S
    if days > most:
        latest = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(latest_s))
        yield f"{broken}: the latest event is of {latest}, {days:.1f} days ago"


def _broken(setting: str, value: float, file: str, column: str) -> str:
    return f"{file}, {column}, breaks data.expectations.{setting} = {value:,g}"
