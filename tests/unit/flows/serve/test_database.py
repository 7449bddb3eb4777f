"""The database of the Prefect server: transactions that read and then write wait for each other, none is refused."""

import asyncio

import pytest
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import MODELS_DEPENDENCIES
from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings
from sqlalchemy.exc import OperationalError

from flows.serve.database import OneWriter, one_writer

NUM_WRITERS, NUM_ROUNDS = 4, 5


async def _count_together(configuration) -> int:
    """Each writer reads a number and writes one more, several times, beside the others; the number at the end."""
    engine = await configuration.engine()
    async with engine.begin() as connection:
        await connection.execute(sa.text("create table counter (n integer)"))
        await connection.execute(sa.text("insert into counter values (0)"))

    async def write() -> None:
        for _ in range(NUM_ROUNDS):
            async with await configuration.session(engine) as session, configuration.begin_transaction(session):
                read = (await session.execute(sa.text("select n from counter"))).scalar_one()
                await asyncio.sleep(0.01)  # others read the same number meanwhile, where nothing keeps them from it
                await session.execute(sa.text("update counter set n = :n"), {"n": read + 1})

    try:
        await asyncio.gather(*(write() for _ in range(NUM_WRITERS)))
        async with engine.connect() as connection:
            return (await connection.execute(sa.text("select n from counter"))).scalar_one()
    finally:
        await engine.dispose()


def test_writers_wait_for_their_turn(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}"
    assert asyncio.run(_count_together(OneWriter(connection_url=url))) == NUM_WRITERS * NUM_ROUNDS


def test_prefects_own_configuration_still_needs_it(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}"
    with pytest.raises(OperationalError, match="database is locked"):
        asyncio.run(_count_together(AioSqliteConfiguration(connection_url=url)))


@pytest.mark.parametrize(
    ("url", "used"), [("sqlite+aiosqlite:////tmp/x.db", OneWriter), ("postgresql+asyncpg://host/x", type(None))]
)
def test_it_is_used_for_sqlite_and_for_nothing_else(monkeypatch, url, used):
    monkeypatch.setitem(MODELS_DEPENDENCIES, "database_config", None)
    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: url}):
        one_writer()
    assert type(MODELS_DEPENDENCIES["database_config"]) is used
