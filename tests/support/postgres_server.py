"""Databases for tests on the PostgreSQL server in the environment; other databases are not touched."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg  # type: ignore[import-untyped]  # asyncpg has no types
import pytest
from msgspec.structs import replace

from hms_svc.domain.backend_url import read_database_url
from hms_svc.persistence.database import SqlDatabase
from hms_svc.persistence.postgres_address import PostgresAddress, read_postgres_address
from hms_svc.persistence.postgres_engine import PostgresEngine
from hms_svc.ports.clock import SystemClock
from tests.support.waiting import until

URL_VARIABLE: Final = "HMS_SVC_TEST_POSTGRES_URL"
REQUIRED_VARIABLE: Final = "HMS_SVC_TEST_REQUIRE_SERVERS"
Result = TypeVar("Result")
_PREFIX: Final = "hms_svc_test_"
_LEFTOVER_SECONDS: Final = 6 * 3600
_OURS: Final = "current_schema()::regnamespace"
_KEPT_TABLES: Final = ("hms_svc_version", "schema_info")
_READS_TO_SETTLE: Final = f"""
SELECT relname || relkind::text || relpersistence::text || coalesce(relacl::text, '')
  FROM pg_class WHERE relnamespace = {_OURS}
UNION ALL SELECT attrelid::regclass || attname || format_type(atttypid, atttypmod) || attnotnull
  || coalesce(pg_get_expr(adbin, adrelid), '') FROM pg_attribute
  LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
  WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = {_OURS})
UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index
  WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = {_OURS})
UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = {_OURS}
UNION ALL SELECT tgname || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = {_OURS}
UNION ALL SELECT nspname || coalesce(nspacl::text, '') FROM pg_namespace WHERE nspname !~ '^pg_'
UNION ALL SELECT setconfig::text FROM pg_db_role_setting
  WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT version_num FROM hms_svc_version
UNION ALL SELECT schema_info::text FROM schema_info
ORDER BY 1"""
"""A query for everything that a test may have changed in a database, except for the rows of the tables."""
_READS_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"


class PostgresServer:
    """A server on which databases may be created and dropped, from the database in its url."""

    def __init__(self, url: str) -> None:
        self.home = read_postgres_address(read_database_url(url))
        self._session = f"{_PREFIX}{int(time.time())}_{secrets.token_hex(4)}"
        self._made = 0
        self._free: list[str] = []
        self._looks: list[tuple[Any, ...]] = []
        self._tables: set[str] = set()
        self._keeper: Any = None
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)

    def address(self, database: str, *, port: int | None = None) -> PostgresAddress:
        """Return the address of one database; `port` is that of a proxy in front."""
        address = replace(self.home, database=database)
        return address if port is None else replace(address, host="127.0.0.1", port=port)

    def url(self, database: str) -> str:
        """Return the URL of one database, as in the settings."""
        home = self.home
        secret = f":{home.password}" if home.password else ""
        user = f"{home.user}{secret}@" if home.user else ""
        return f"postgresql://{user}{home.host}:{home.port}/{database}"

    async def connect(self, database: str = "") -> Any:
        """Open a plain connection, by default to the home database."""
        home = self.home
        return await asyncpg.connect(
            host=home.host,
            port=home.port,
            user=home.user,
            password=home.password,
            database=database or home.database,
        )

    async def execute(self, database: str, *statements: str) -> None:
        """Run statements, each in its own transaction."""
        connection = await self.connect(database)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def fetch(self, database: str, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        connection = await self.connect(database)
        try:
            return [tuple(row) for row in await connection.fetch(query, *values)]
        finally:
            await connection.close()

    async def create(self, *, template: str = "template0") -> str:
        """Create a database, and return its name."""
        self._made += 1
        name = f"{self._session}_{self._made}"
        await self.execute("", f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
        return name

    async def drop(self, name: str) -> None:
        """Drop a database and its connections."""
        await self.execute("", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def lend(self, template: str) -> str:
        """Return a copy of the template: one that another test left clean, or a new one."""
        if not self._looks:
            self._looks = await self.fetch(template, _READS_TO_SETTLE)
            self._tables = {name for (name,) in await self.fetch(template, _READS_TABLES)}
        return self._free.pop() if self._free else await self.create(template=template)

    async def take_back(self, name: str) -> None:
        """Empty a database for the next test, or drop it if a test changed more than rows and tables of its own.

        A new one is slow: to create and to drop it takes a third of a second of the server's processors.
        """
        await self._disconnect(name)
        try:
            is_clean = await self._clean(name)
        except asyncpg.PostgresError:
            is_clean = False
        if is_clean:
            self._free.append(name)
        else:
            await self.drop(name)

    async def _disconnect(self, name: str) -> None:
        """End all sessions of a database, and wait until they are gone."""
        sessions = "FROM pg_stat_activity WHERE datname = $1"
        if self._keeper is None:
            self._keeper = await self.connect()
        keeper = self._keeper

        async def are_gone() -> bool:
            return not await keeper.fetch(f"SELECT pg_terminate_backend(pid) {sessions}", name)

        await until(f"no session of {name} is left", are_gone)

    async def _clean(self, name: str) -> bool:
        """Remove added tables, and all rows if nothing else was changed; return whether it was not."""
        connection = await self.connect(name)
        try:
            await connection.execute("SET synchronous_commit = off")
            for (table,) in await connection.fetch(_READS_TABLES):
                if table not in self._tables:
                    await connection.execute(f'DROP TABLE "{table}" CASCADE')
            found = [tuple(row) for row in await connection.fetch(_READS_TO_SETTLE)]
            if found == self._looks:
                await self._empty(connection)
            return found == self._looks
        finally:
            await connection.close()

    async def _empty(self, connection: Any) -> None:
        counters = "SELECT sequencename, start_value FROM pg_sequences WHERE last_value IS NOT NULL"
        await connection.execute("SET session_replication_role = replica")
        filled = sorted(self._tables - set(_KEPT_TABLES))
        await connection.execute("; ".join(f"DELETE FROM {table}" for table in filled))
        for counter, start in await connection.fetch(counters):
            await connection.execute("SELECT setval($1::regclass, $2, false)", counter, start)

    def now(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run this on the loop to which the connection that lives on between tests belongs."""
        return self._runner.run(work)

    def close(self) -> None:
        """Drop the databases that are kept for other tests."""
        while self._free:
            self.now(self.drop(self._free.pop()))
        if self._keeper is not None:
            self.now(self._keeper.close())
        self._runner.close()

    async def drop_leftovers(self) -> None:
        """Drop the databases that killed runs have left, unless they have connections."""
        rows = await self.fetch("", "SELECT datname FROM pg_database WHERE datname LIKE $1", "hms%")
        for (name,) in rows:
            made_at = name.removeprefix(_PREFIX).partition("_")[0]
            if made_at.isdecimal() and time.time() - int(made_at) > _LEFTOVER_SECONDS:
                with suppress(asyncpg.ObjectInUseError, asyncpg.InvalidCatalogNameError):
                    await self.execute("", f"DROP DATABASE {name}")


def postgres_url() -> str:
    """Return the address of the server; if there is none, skip the test, or fail if servers are required."""
    url = os.environ.get(URL_VARIABLE, "")
    if not url:
        reason = f"no PostgreSQL to test on: set {URL_VARIABLE}=postgresql://USER@HOST/postgres"
        if os.environ.get(REQUIRED_VARIABLE):
            pytest.fail(f"{reason} ({REQUIRED_VARIABLE} is set)")
        pytest.skip(reason)
    return url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server for the whole run."""
    server = PostgresServer(postgres_url())
    server.now(server.drop_leftovers())
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    """A migrated database, created once as the template of the others."""
    name = postgres_server.now(postgres_server.create())
    try:
        engine = PostgresEngine(postgres_server.address(name))
        postgres_server.now(SqlDatabase(engine, SystemClock()).migrate())
        yield name
    finally:
        postgres_server.now(postgres_server.drop(name))


@pytest.fixture
def postgres_database(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """The name of a migrated, empty database for one test."""
    name = postgres_server.now(postgres_server.lend(postgres_template))
    yield name
    postgres_server.now(postgres_server.take_back(name))


@pytest.fixture
def bare_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database without tables for one test."""
    name = postgres_server.now(postgres_server.create())
    yield name
    postgres_server.now(postgres_server.drop(name))
