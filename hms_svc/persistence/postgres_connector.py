"""Opening connections to PostgreSQL: the settings of each, and no stampede after an outage."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakSet

import asyncpg  # type: ignore[import-untyped]

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
    "28": "our login is refused",
    "3D": "there is no such database; make it first (createdb)",
    "53": "it takes no more connections",
    "57": "it is starting or stopping",
}


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """One that nobody waits for when it is closed, as SQLAlchemy would once it has failed."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - theirs
        """End it at once."""
        self.terminate()

    async def announce_end(self, seconds: float) -> None:
        """End it politely, in that time at most."""
        await super().close(timeout=seconds)


class Connector:
    """Opens connections, each with the same settings, and can drop them all at once.

    After a failure it lets a while pass before the next attempt, longer each
    time up to a second, with jitter, and lets one caller alone make it: the
    others are refused at once, and a fleet comes back in drops. A statement may
    take `statement_seconds`, 0 for any time; a server that then still says
    nothing makes it a TimeoutError.
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
        """Open a connection. Raises DatabaseUnavailable, or BadSetting for TLS that cannot be."""
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

    async def greet(self) -> None:
        """Log in and leave again: DatabaseUnavailable where that is not answered.

        It takes no session of the server's behind a pooler whose pool is full, and is not held up there.
        """
        connection = await self._log_in(CONNECT_SECONDS)
        connection.terminate()

    async def _check_once(self, connection: Any) -> None:
        """Raise BadSetting where a pooler gives this session to other clients as well.

        A pooler has told a process id of its own at the start. Behind one, a second client that comes
        to the same process of the server tells that sessions are not kept apart.
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
            return  # its pool is full, perhaps by this session, which is ours as long as we have it
        try:
            for _ in range(_READS_TO_SETTLE):
                if await self._process(other) == await self._process(connection):
                    raise shared_sessions(self.address)
        finally:
            await other.announce_end(_CLOSE_SECONDS)

    async def _process(self, connection: Any) -> int:
        """Return the id of the server's process behind a connection now."""
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
        """End every connection at once: what waits for an answer fails now."""
        for connection in list(self._opened):
            connection.terminate()

    async def close_all(self) -> None:
        """End every connection politely, in a second at most."""
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
        with self._telling(seconds):
            await self._set(connection, seconds)
        return connection

    async def _log_in(self, seconds: float) -> Any:
        address = self.address
        with self._telling(seconds):
            return await asyncpg.connect(
                f"postgresql:///?{address.tls}" if address.tls else None,
                host=address.host,
                port=address.port,
                user=address.user,
                password=address.password,
                database=address.database,
                timeout=seconds,
                connection_class=_Connection,
                command_timeout=self._command_seconds,
                server_settings={"application_name": address.application_name},
            )

    @contextmanager
    def _telling(self, seconds: float) -> Iterator[None]:
        try:
            yield
        except asyncpg.ClientConfigurationError as error:
            raise BadSetting(f"database_url: {text_of(error)}") from error
        except TimeoutError as error:
            words = f"no answer in {seconds:g} s"
            raise DatabaseUnavailable(f"{self.address}: {words}") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise DatabaseUnavailable(f"{self.address}: {_refusal(error)}") from error

    async def _set(self, connection: Any, seconds: float) -> None:
        """Return the session its settings in one round trip: poolers let few start-up parameters through."""
        try:
            await connection.execute(_setting(self.settings), timeout=seconds)
        except BaseException:
            connection.terminate()
            raise


def is_refused(error: DatabaseUnavailable) -> bool:
    """Return whether it was the server that refused a connection: it is there, and answers."""
    return isinstance(error.__cause__, asyncpg.PostgresError)


def _settings(address: PostgresAddress, statement_seconds: float) -> dict[str, str]:
    """Return the settings of a session. The shorter times let a waiter outlive who holds it up.

    Each of our statements finds its rows by an index. A server that has no
    statistics yet, or keeps a plan from when the tables were empty, would read
    all of them instead.
    """
    statement_ms = int(statement_seconds * 1000)
    settings = {
        "default_transaction_isolation": "read committed",
        "enable_seqscan": "off",
        "idle_in_transaction_session_timeout": str(statement_ms // 2),
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
    """Make the statement that gives a session these settings; an unknown name or value is an error."""
    calls = (
        f"set_config({_quoted(name)}, {_quoted(value)}, false)" for name, value in settings.items()
    )
    return f"SELECT {', '.join(calls)}"


def _quoted(text: str) -> str:
    """Quote a text whatever standard_conforming_strings says."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def _refusal(error: BaseException) -> str:
    reason = _REFUSALS.get((getattr(error, "sqlstate", None) or "")[:2], "")
    return f"{reason}: {text_of(error)}" if reason else text_of(error)
