"""One database for each test, of each kind; every contract test runs on both."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import pytest
from msgspec.structs import replace

from hms_svc.persistence.database import SqlDatabase
from hms_svc.persistence.engine import Engine
from hms_svc.persistence.postgres_engine import PostgresEngine
from hms_svc.persistence.sqlite_engine import SQLiteEngine
from hms_svc.sqlite.file import SQLiteFile
from tests.support.database_requests import NOON
from tests.support.framing import POSTGRESQL
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import Proxy
from tests.support.waiting import until

_SESSIONS: Final = "FROM pg_stat_activity WHERE datname = current_database()"
PATIENCE_SECONDS: Final = 30.0
Opener: TypeAlias = Callable[[], Awaitable[SqlDatabase]]
Maker: TypeAlias = Callable[..., Awaitable[PostgresEngine]]


class HandClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def now_ms(self) -> int:
        return self.now

    def lease_ms(self) -> int:
        return self.now


class Site(Protocol):
    """The database of a test, and direct access to it without the program."""

    kind: str
    gapless: bool

    def engine(self) -> Engine:
        """Return another engine for the same database, not yet open, as another process would."""
        ...

    async def tamper(self, statement: str) -> None:
        """Run a statement outside of the program; `{bytes}` stands for the byte 255."""
        ...


class SQLiteSite:
    kind = "sqlite"
    gapless = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def engine(self) -> Engine:
        return SQLiteEngine(SQLiteFile(self.path))

    async def tamper(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute(statement.format(bytes="x'ff'"))


class PostgresSite:
    kind = "postgresql"
    gapless = False

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name

    def engine(self, **details: Any) -> PostgresEngine:
        return PostgresEngine(replace(self.server.address(self.name), **details))

    async def tamper(self, statement: str) -> None:
        await self.server.execute(self.name, statement.format(bytes="'\\xff'::bytea"))

    async def until(self, query: str) -> None:
        """Wait until a query in the database returns a row."""
        await until(query, lambda: self.server.fetch(self.name, query), PATIENCE_SECONDS)

    async def until_blocked(self) -> None:
        """Wait until a session of this database waits for a lock."""
        await self.until(f"SELECT 1 {_SESSIONS} AND wait_event_type = 'Lock'")

    async def end_connections(self) -> None:
        """End every session of this database, as an administrator would, and wait until they are gone."""
        # Within one WHERE the server may ask the function first, of everybody's sessions.
        sessions = f"WITH ours AS MATERIALIZED (SELECT pid {_SESSIONS} AND pid <> pg_backend_pid())"
        await self.server.fetch(self.name, f"{sessions} SELECT pg_terminate_backend(pid) FROM ours")
        await self.until(f"SELECT 1 {_SESSIONS} HAVING count(*) = 1")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cases.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, path: Path) -> Site:
    if request.param == "sqlite":
        return SQLiteSite(path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return PostgresSite(server, request.getfixturevalue("postgres_database"))


@pytest.fixture
async def another(site: Site, clock: HandClock) -> AsyncIterator[Opener]:
    """Open one more connection to the same database, as another process would."""
    opened: list[SqlDatabase] = []

    async def open_one() -> SqlDatabase:
        one = SqlDatabase(site.engine(), clock)
        await one.open()
        opened.append(one)
        return one

    yield open_one
    for one in opened:
        await one.close()


@pytest.fixture
async def database(another: Opener) -> SqlDatabase:
    return await another()


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[Proxy]:
    home = postgres_server.home
    with Proxy(home.port, host=home.host, dialect=POSTGRESQL) as proxy:
        yield proxy
        for _ in range(3):
            proxy.reset_all()  # a connection that was just accepted (to cancel a query) is open when it stops


@pytest.fixture
async def make_engine(
    postgres_server: PostgresServer, postgres_database: str, proxy: Proxy
) -> AsyncIterator[Maker]:
    """Return a function that makes engines behind the proxy; a hasty one allows less than half a second per statement."""
    opened: list[PostgresEngine] = []

    async def make(*, hasty: bool = False) -> PostgresEngine:
        address = postgres_server.address(postgres_database, port=proxy.port)
        seconds = 0.4 if hasty else PATIENCE_SECONDS
        opened.append(PostgresEngine(address, pool_size=3, statement_seconds=seconds))
        await opened[-1].open()
        return opened[-1]

    yield make
    for one in opened:
        await one.close()


@pytest.fixture
async def engine(make_engine: Maker) -> PostgresEngine:
    return await make_engine()


@pytest.fixture
async def hasty(make_engine: Maker) -> PostgresEngine:
    return await make_engine(hasty=True)
