"""Opens connections to PostgreSQL, with their settings, and avoids a stampede after an outage."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakSet

import asyncpg  # type: ignore[import-untyped]  # asyncpg has no types

from hms_svc.domain.errors import BadSetting, DatabaseUnavailable
from hms_svc.persistence.postgres_address import PostgresAddress
from hms_svc.persistence.postgres_errors import is_shared_session, shared_sessions, text_of

CONNECT_SECONDS: Final = 3.0
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 1.0
_READS_TO_SETTLE: Final = 3
_CLOSE_SECONDS: Final = 1.0
_APART_SECONDS: Final = 1.0
_REFUSALS: Final = {
    "28": "the login was refused",
    "3D": "there is no such database; create it first (createdb)",
    "53": "it accepts no more connections",
    "57": "it is starting or stopping",
}


class _AsyncpgConnection(asyncpg.Connection):  # type: ignore[misc]  # a base without types
    """A connection whose close does not wait, unlike that of SQLAlchemy after a failure."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - theirs
        """Terminate the connection immediately."""
        self.terminate()

    async def announce_end(self, seconds: float) -> None:
        """Close the connection gracefully, within `seconds`."""
        await super().close(timeout=seconds)


class Connector:
    """Opens connections, each with the same settings, and can drop them all at once.

    After a failure it backs off before the next attempt, up to a second, with jitter, and
    lets only one caller make the attempt: the others are refused immediately, so that a
    fleet reconnects gradually. A statement may take `statement_seconds`, 0 for any time;
    if the server does not respond after that either, it is a TimeoutError.
    """

    def __init__(self, address: PostgresAddress, *, statement_seconds: float) -> None:
        self.address = address
        self.settings = _settings(address, statement_seconds)
        self._command_seconds = statement_seconds + _GRACE_SECONDS if statement_seconds else None
        self._opened: WeakSet[Any] = WeakSet()
        self._failures = 0
        self._not_before = 0.0
        self._is_trying = False
        self._is_checked = False
        self._reason = ""

    async def connect(self) -> Any:
        """Open a connection; raise DatabaseUnavailable, or BadSetting for impossible TLS settings."""
        now = asyncio.get_running_loop().time()
        if self._failures and (self._is_trying or now < self._not_before):
            raise DatabaseUnavailable(self._reason)
        self._is_trying = True
        try:
            connection = await self._open()
            await self._check_once(connection)
        except DatabaseUnavailable as outage:
            self._pause(str(outage))
            raise
        finally:
            self._is_trying = False
        self._failures = 0
        self._opened.add(connection)
        return connection

    async def check_login(self) -> None:
        """Log in and disconnect; raise DatabaseUnavailable if there is no answer.

        Behind a pooler this needs no session of the server, so a full pool does not delay it.
        """
        connection = await self._log_in(CONNECT_SECONDS)
        connection.terminate()

    async def _check_once(self, connection: Any) -> None:
        """Raise BadSetting if a pooler gives this session to other clients as well.

        A pooler reports its own process id at login. If behind one a second client gets the
        same server process, sessions are shared.
        """
        if self._is_checked:
            return
        try:
            if await self._process(connection) != connection.get_server_pid():
                await self._check_apart(connection)
        except BaseException:
            connection.terminate()
            raise
        self._is_checked = True

    async def _check_apart(self, connection: Any) -> None:
        try:
            other = await self._open(_APART_SECONDS)
        except DatabaseUnavailable:
            return  # its pool is full, perhaps because of this session, which is then not shared
        try:
            for _ in range(_READS_TO_SETTLE):
                if await self._process(other) == await self._process(connection):
                    raise shared_sessions(self.address)
        finally:
            await other.announce_end(_CLOSE_SECONDS)

    async def _process(self, connection: Any) -> int:
        """Return the id of the current server process behind a connection."""
        try:
            return int(
                await connection.fetchval("SELECT pg_backend_pid()", timeout=CONNECT_SECONDS)
            )
        except TimeoutError as error:
            raise DatabaseUnavailable(f"{self.address}: {text_of(error)}") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            if is_shared_session(error):
                raise shared_sessions(self.address) from error
            raise DatabaseUnavailable(f"{self.address}: {text_of(error)}") from error

    def drop_all(self) -> None:
        """Terminate all connections immediately; pending calls fail."""
        for connection in list(self._opened):
            connection.terminate()

    async def close_all(self) -> None:
        """Close all connections gracefully, within a second."""
        closing = (connection.announce_end(_CLOSE_SECONDS) for connection in list(self._opened))
        await asyncio.gather(*closing, return_exceptions=True)
        self.drop_all()

    def _pause(self, reason: str) -> None:
        longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10))
        self._failures += 1
        self._not_before = asyncio.get_running_loop().time() + longest * random.uniform(0.5, 1.0)
        self._reason = reason

    async def _open(self, seconds: float = CONNECT_SECONDS) -> Any:
        connection = await self._log_in(seconds)
        with self._translated_errors(seconds):
            await self._set(connection, seconds)
        return connection

    async def _log_in(self, seconds: float) -> Any:
        address = self.address
        with self._translated_errors(seconds):
            return await asyncpg.connect(
                f"postgresql:///?{address.tls}" if address.tls else None,
                host=address.host,
                port=address.port,
                user=address.user,
                password=address.password,
                database=address.database,
                timeout=seconds,
                connection_class=_AsyncpgConnection,
                command_timeout=self._command_seconds,
                server_settings={"application_name": address.application_name},
            )

    @contextmanager
    def _translated_errors(self, seconds: float) -> Iterator[None]:
        try:
            yield
        except asyncpg.ClientConfigurationError as error:
            raise BadSetting(f"database_url: {text_of(error)}") from error
        except TimeoutError as error:
            raise DatabaseUnavailable(f"{self.address}: no answer in {seconds:g} s") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise DatabaseUnavailable(f"{self.address}: {_refusal(error)}") from error

    async def _set(self, connection: Any, seconds: float) -> None:
        """Apply the settings in one round trip: poolers accept few start-up parameters."""
        try:
            await connection.execute(_setting(self.settings), timeout=seconds)
        except BaseException:
            connection.terminate()
            raise


def pause_of(statement_seconds: float) -> float:
    """Return for how many seconds a transaction may run no statement, for the limit of a statement."""
    return statement_seconds / 2


def is_refused(error: DatabaseUnavailable) -> bool:
    """Return whether the server itself refused the connection, that is, it responds."""
    return isinstance(error.__cause__, asyncpg.PostgresError)


def _settings(address: PostgresAddress, statement_seconds: float) -> dict[str, str]:
    """Return the settings of a session. The shorter timeouts end a blocking session before its waiters.

    All statements find their rows by an index. A server without statistics, or with a plan
    from when the tables were empty, would otherwise scan the tables.
    """
    statement_ms = int(statement_seconds * 1000)
    settings = {
        "default_transaction_isolation": "read committed",
        "enable_seqscan": "off",
        "idle_in_transaction_session_timeout": str(int(pause_of(statement_seconds) * 1000)),
        "jit": "off",
        "plan_cache_mode": "force_custom_plan",
        "lock_timeout": str(statement_ms * 4 // 5),
        "statement_timeout": str(statement_ms),
        "tcp_keepalives_count": "3",
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
    }
    return settings | ({"search_path": address.search_path} if address.search_path else {})


def _setting(settings: Mapping[str, str]) -> str:
    """Return the statement that applies these settings; an unknown name or value is an error."""
    calls = (
        f"set_config({_quoted(name)}, {_quoted(value)}, false)" for name, value in settings.items()
    )
    return f"SELECT {', '.join(calls)}"


def _quoted(text: str) -> str:
    """Quote a text independently of standard_conforming_strings."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def _refusal(error: BaseException) -> str:
    reason = _REFUSALS.get((getattr(error, "sqlstate", None) or "")[:2], "")
    return f"{reason}: {text_of(error)}" if reason else text_of(error)
