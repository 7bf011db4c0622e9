"""A small pool of connections to one PostgreSQL, and checks of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import event, func, select
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from hms_svc.domain.errors import BadSetting, DatabaseUnavailable
from hms_svc.persistence.postgres_address import PostgresAddress
from hms_svc.persistence.postgres_connector import Connector, is_refused, pause_of
from hms_svc.persistence.postgres_errors import FAILURES, PostgresFailure, fault_of, shared_sessions

OLDEST_SERVER: Final = 14
_RECYCLE_SECONDS: Final = 1800
_DIALECT: Final = "postgresql+asyncpg://"
_FACTS: Final = select(
    func.current_schema().label("schema"),
    func.current_setting("server_version_num").label("version"),
    func.current_setting("server_encoding").label("encoding"),
    func.current_setting("synchronous_commit").label("synchronous_commit"),
    func.pg_is_in_recovery().label("is_standby"),
    func.current_setting("plan_cache_mode").label("plans"),
)


class Pool:
    """Lends connections; a lost one is not lent again.

    `schema` is the schema of our tables, known after the first connection. A transaction may
    run no statement for `pause_seconds`; then the server ends its session.
    """

    def __init__(self, address: PostgresAddress, *, size: int, statement_seconds: float) -> None:
        self.address = address
        self.schema = ""
        self.pause_seconds = pause_of(statement_seconds)
        self._size = size
        self._statement_seconds = statement_seconds
        self._connector: Connector | None = None
        self._engine: AsyncEngine | None = None
        self._prober: Connector | None = None

    async def open(self) -> None:
        """Connect; raise DatabaseUnavailable, or BadSetting for an unsuitable server."""
        self._connector = Connector(self.address, statement_seconds=self._statement_seconds)
        self._engine = create_async_engine(
            _DIALECT,
            async_creator=self._connector.connect,
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            max_overflow=0,
            pool_recycle=_RECYCLE_SECONDS,
            pool_size=self._size,
            pool_timeout=self._statement_seconds,
            pool_use_lifo=True,
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_closed)
        try:
            async with self.connection(apart=True) as connection:
                await self._check(connection, self._connector)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect; may be called again."""
        connector, self._connector = self._connector, None
        engine, self._engine = self._engine, None
        if connector is not None:
            await connector.close_all()
        if engine is not None:
            await engine.dispose(close=False)

    @asynccontextmanager
    async def connection(self, *, apart: bool = False) -> AsyncIterator[AsyncConnection]:
        """Lend a connection; with `apart` each of its statements is a separate transaction."""
        engine, connector = self._engine, self._connector
        if engine is None or connector is None:
            raise DatabaseUnavailable(f"{self.address} is not open")
        if apart:
            engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as lent:
                try:
                    yield lent
                except FAILURES as error:
                    if fault_of(error) in {PostgresFailure.LOST, PostgresFailure.OUTAGE}:
                        await _abandon(lent)
                    raise
        except TimeoutError:
            # If the server does not respond on one connection, it does not on the others either.
            connector.drop_all()
            raise

    @asynccontextmanager
    async def patient_connection(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection outside of the pool, without a time limit for statements."""
        connector = Connector(self.address, statement_seconds=0)
        engine = create_async_engine(
            _DIALECT, async_creator=connector.connect, poolclass=NullPool, hide_parameters=True
        )
        async with engine.connect() as connection:
            await self._check(connection, connector)
            yield connection

    async def probe(self) -> None:
        """Log in on a separate connection; raise DatabaseUnavailable if there is no answer.

        A pooler may answer although the server behind it does not respond; then the statement
        timeout applies.
        """
        if self._prober is None:
            self._prober = Connector(self.address, statement_seconds=self._statement_seconds)
        try:
            await self._prober.check_login()
        except DatabaseUnavailable as error:
            if is_refused(error):
                return  # It responds, although it refuses the connection.
            raise

    async def _check(self, connection: AsyncConnection, connector: Connector) -> None:
        facts = (await connection.execute(_FACTS)).one()
        where = str(self.address)
        if int(facts.version) < OLDEST_SERVER * 10_000:
            version = int(facts.version) // 10_000
            raise BadSetting(f"{where} is version {version}: {OLDEST_SERVER} or later is required")
        if facts.encoding != "UTF8":
            raise BadSetting(f"{where} has the encoding {facts.encoding}: UTF8 is required")
        if facts.schema is None:
            raise BadSetting(f"{where} has no schema on its search_path: name one that exists")
        if facts.is_standby:
            raise DatabaseUnavailable(f"{where} is a standby, which cannot write: name the primary")
        self.schema = facts.schema
        if facts.plans != connector.settings["plan_cache_mode"]:
            raise shared_sessions(self.address)
        if facts.synchronous_commit == "off":
            connector.settings["synchronous_commit"] = "on"
            connector.drop_all()


def _refuse_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the server has closed the connection")


async def _abandon(lent: AsyncConnection) -> None:
    if not lent.invalidated:
        raw = await lent.get_raw_connection()
        driver: Any = raw.driver_connection
        driver.terminate()
        await lent.invalidate()
