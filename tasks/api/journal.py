"""Changes of the catalogue while it is served, durable: every endpoint of a database applies them in the same order.

One row a change that was asked for, as JSON, in the database of the event log. A model that comes into service later starts
from its own catalogue and gets all of them: what is out of stock stays out of stock, and an item that came in is there
until a model knows it by training.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from genrec.event_log.database import Database

_METADATA = sa.MetaData()
_CHANGES = sa.Table(
    "genrec_catalogue_changes",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("change", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)


class Change(NamedTuple):
    """What was asked for.

    stock: item id -> whether it is in stock. items: new items, as dicts with the columns of `genrec.tables.ITEMS`.
    """

    stock: dict[str, bool]
    items: list[dict[str, Any]]


class Journal:
    """The changes in a database; LogUnavailable (`genrec.event_log`) where it cannot be read or written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.writing() as connection:
            _METADATA.create_all(connection)

    def append(self, change: Change) -> tuple[int, int]:
        """Keep a change; the number of the change before it (0: there is none), and its own. It is on the disk when this
        returns.
        """
        text = orjson.dumps({"stock": change.stock, "items": change.items}).decode()
        with self._database.writing() as connection:
            before = connection.execute(sa.select(sa.func.max(_CHANGES.c.number))).scalar() or 0
            insert = sa.insert(_CHANGES).values(change=text).returning(_CHANGES.c.number)
            return before, connection.execute(insert).scalar_one()

    def after(self, number: int) -> tuple[int, Change]:
        """The changes after a number as one, and the number of the last of them."""
        query = sa.select(_CHANGES.c.number, _CHANGES.c.change).where(_CHANGES.c.number > number)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(_CHANGES.c.number)).all()
        return (rows[-1].number if rows else number), merged(orjson.loads(row.change) for row in rows)

    def close(self) -> None:
        """Close the connections."""
        self._database.engine.dispose()


def merged(changes: Iterable[dict[str, Any]]) -> Change:
    """Changes in a row as one: the last word on an item's stock, the first text of a new item.

    New items stay in the order in which they came in, for the semantic id of one depends on those before it.
    """
    stock: dict[str, bool] = {}
    items: dict[str, dict[str, Any]] = {}
    for change in changes:
        stock |= change["stock"]
        for item in change["items"]:
            items.setdefault(item["item_id"], item)
    return Change(stock, list(items.values()))
