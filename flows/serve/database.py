"""SQLite under the Prefect server: its writers come one after the other, each waits for its turn.

Prefect begins a transaction without a lock and asks for SQLite's write lock when it first writes. Where another one has
written since, SQLite refuses that at once, whatever its timeout ("database is locked", SQLITE_BUSY_SNAPSHOT): what was
read is out of date (https://www.sqlite.org/isolation.html). A transaction that asks for the lock at its beginning waits
for its turn. Readers never wait: the database is in WAL mode.
"""

import contextlib
from collections.abc import AsyncGenerator

from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import MODELS_DEPENDENCIES
from prefect.settings import get_current_settings
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


class OneWriter(AioSqliteConfiguration):
    """Each transaction holds the write lock from its beginning on."""

    @contextlib.asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def one_writer() -> None:
    """Have the Prefect server of this process use it, where its database is SQLite. Before the server is made."""
    url = get_current_settings().server.database.connection_url
    if url is not None and url.get_secret_value().startswith("sqlite"):
        MODELS_DEPENDENCIES["database_config"] = OneWriter(connection_url=url.get_secret_value())
