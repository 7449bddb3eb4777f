"""What the config lets through: items in stock and of a category, and rules that count days."""

from collections.abc import Mapping
from pathlib import Path

from genrec.config import RecommendConfig
from genrec.data.quarantine import POSITION_LIMIT
from genrec.errors import DataError
from genrec.serve.batch.ids_file import read_ids
from genrec.tables import CATALOGUE_FILE

DAY_MS = 24 * 3600 * 1000


def open_items(prepared: Path, config: RecommendConfig) -> set[str] | None:
    """Ids of the items of the catalogue that the config lets through; None where it lets all.

    Raises DataError that names the setting where no item of the catalogue is left.
    """
    if config.in_stock is None and config.categories is None:
        return None
    catalogue = CATALOGUE_FILE.read(prepared, ["item_id", "categories"])
    ids = catalogue["item_id"].to_pylist()
    left = set(ids)
    if config.in_stock is not None:
        named = config.in_stock
        stock = (
            read_ids(Path(named), "item_id", "recommend.in_stock")[0].to_pylist() if isinstance(named, str) else named
        )
        left &= set(stock)
        if not left:
            there = f"{named}: its {len(stock)} ids" if isinstance(named, str) else f"the {len(stock)} ids"
            raise DataError(f"recommend.in_stock: {there} are not in the catalogue, which has ids like {ids[0]!r}")
    if config.categories is not None:
        wanted = set(config.categories)
        of_item = catalogue["categories"].to_pylist()
        if unknown := sorted(wanted - {name for names in of_item for name in names}):
            known = sorted({name for names in of_item for name in names})
            raise DataError(
                f"recommend.categories: no item has the category {unknown[0]!r}; there are {', '.join(known[:20])}"
                f"{', ...' if len(known) > 20 else ''}"
            )
        left &= {item for item, names in zip(ids, of_item, strict=True) if wanted & set(names)}
        if not left:
            raise DataError(
                "recommend.categories: no item in stock has one of them; name others, or leave one filter out"
            )
    return left


def check_days(config: RecommendConfig, events: Mapping[str, int], newest: int) -> None:
    """Raises DataError for a rule about days or purchases that means nothing in this data.

    events: rows by event type. newest: the latest timestamp.
    """
    for name, days in (("not_bought_days", config.not_bought_days), ("active_days", config.active_days)):
        if days is not None and newest < POSITION_LIMIT:
            raise DataError(
                f"recommend.{name}: needs times, but the timestamps of this data are positions in a user's sequence; "
                "leave it out"
            )
    unknown = [event for event in config.bought_events if event not in events]
    if config.not_bought_days is not None and unknown:
        raise DataError(
            f"recommend.bought_events: no event is a {unknown[0]!r}; the data has {', '.join(sorted(events))}"
        )
