"""The pairs of broker and database of a producer's own transactions, and its table, read without the program."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from hms_svc.settings import Settings, load_settings
from tests.support.postgres_server import PostgresServer

CREATE: Final = "create table if not exists applications (parcel text primary key)"
INSERT: Final = "insert into applications values ($1)"
_ALL: Final = "select parcel from applications order by parcel"


class Pair:
    """A broker and a database; `notifies` is whether workers are told of a commit."""

    def __init__(
        self, folder: Path, broker_url: str = "", postgres: tuple[PostgresServer, str] | None = None
    ) -> None:
        self.folder = folder
        self.broker_url = broker_url
        self.notifies = postgres is not None
        self._postgres = postgres

    def environment(self) -> dict[str, str]:
        """Return the environment of a program that uses the pair."""
        given = {"HMS_SVC_CONFIG": "", "HMS_SVC_DATA_DIR": str(self.folder)}
        if self.broker_url:
            given["HMS_SVC_BROKER_URL"] = self.broker_url
        if self._postgres is not None:
            server, name = self._postgres
            given["HMS_SVC_DATABASE_URL"] = server.url(name)
        return given

    def settings(self) -> Settings:
        return load_settings(environ=self.environment()).settings

    async def parcels(self) -> list[str]:
        """Return what the producer's table has; nothing where there is no table."""
        if self._postgres is not None:
            server, name = self._postgres
            return [row[0] for row in await server.fetch(name, _ALL)]
        return [row[0] for row in await asyncio.to_thread(self._rows)]

    def _rows(self) -> list[Any]:
        uri = f"{(self.folder / 'cases.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(_ALL).fetchall()


@pytest.fixture(params=["sqlite-sqlite", "redis-sqlite", "redis-postgresql"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """Each pair that an installation has."""
    broker, database = request.param.split("-")
    url = request.getfixturevalue("redis_server").url() if broker == "redis" else ""
    postgres = None
    if database == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        postgres = server, request.getfixturevalue("postgres_database")
    return Pair(tmp_path, url, postgres)
