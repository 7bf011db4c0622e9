"""An application's statements inside a transaction on PostgreSQL."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

import asyncpg  # type: ignore[import-untyped]  # asyncpg has no types
from sqlalchemy import Connection, func, select

from hms_svc.domain.errors import DatabaseUnavailable, TransactionError
from hms_svc.persistence.engine import Result, StatementFunction, WriteFailed
from hms_svc.persistence.placeholders import unnumbered
from hms_svc.persistence.postgres_errors import PostgresFailure, fault_of, sqlstate_of, text_of
from hms_svc.persistence.postgres_pool import Pool
from hms_svc.persistence.schema import VERSION_TABLE
from hms_svc.persistence.tables import METADATA
from hms_svc.ports.transactions import Write, Written
from hms_svc.sdk.own_thread import on_own_thread

Answer = TypeVar("Answer")
_COMMENT: Final = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*"
_REFUSED: Final = re.compile(
    rf"{_COMMENT}(begin|start|commit|end|rollback|abort|savepoint|release|prepare|reset|discard|listen|"
    rf"unlisten|set(?!\s+local\b))\b",
    re.IGNORECASE | re.DOTALL,
)
_OURS: Final = re.compile(
    r"\b(?:into|update|from|join|table|only|on|truncate)\s+(?:if\s+(?:not\s+)?exists\s+)?"
    rf'"?({"|".join(METADATA.tables)}|{VERSION_TABLE})\b',
    re.IGNORECASE,
)
_LITERAL: Final = re.compile(r"'(?:[^']|'')*'")
_SYNTAX_ERROR: Final = "42601"
_DEADLOCKS: Final = frozenset({"40001", "40P01"})
_PLAN_AS_USUAL: Final = select(func.set_config("enable_seqscan", "on", True))


class PostgresStatements:
    """Implements ports.transactions.Statements on a connection of asyncpg.

    `pause_seconds` is how long the server waits for the next statement before it ends the session.
    """

    is_on_loop = True

    def __init__(self, connection: Any, where: str, pause_seconds: float) -> None:
        self._connection = connection
        self._where = where
        self._pause_seconds = pause_seconds
        self._last = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[Any]] = set()
        self._has_ended = False
        self._failure: Exception | None = None
        self.was_deadlock = False

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> list[Any]:
        rows: list[Any] = await self._run(
            sql, arguments, lambda: self._connection.fetch(sql, *arguments)
        )
        return rows

    async def execute(self, sql: str, arguments: Sequence[Any]) -> int:
        async def execute() -> str:
            # Prepared: without parameters, `execute` would accept several statements in one text.
            statement = await self._connection.prepare(sql)
            await statement.fetch(*arguments)
            return str(statement.get_statusmsg())

        number = (await self._run(sql, arguments, execute)).rpartition(" ")[2]
        return int(number) if number.isdecimal() else 0

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        first = rows[0] if rows else ()
        await self._run(sql, first, lambda: self._connection.executemany(sql, rows))

    async def call(self, function: Callable[[], Any], *, is_async: bool) -> Any:
        return await function() if is_async else await on_own_thread(function)

    def wait(self, statement: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(statement, self._loop).result()

    async def end(self) -> None:
        """Refuse further statements, and stop those that other tasks and threads have left running."""
        self._has_ended = True
        running = self._running - {asyncio.current_task()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def check(self) -> None:
        """Raise the error because of which the transaction cannot be committed, if there is one."""
        if self._failure is not None:
            raise self._failure
        self._check_pause()

    async def _run(
        self, sql: str, arguments: Sequence[Any], statement: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        if asyncio.get_running_loop() is not self._loop:
            raise TransactionError(
                "a statement of a transaction was awaited on another event loop than its function"
            )
        if self._has_ended:
            raise TransactionError("the transaction has ended: run statements inside its function")
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            self.check()
            _check_statement(sql)
            result = await statement()
        except Exception as error:
            self._failure = self._failure or self._meaning(error, sql, arguments)
            raise self._failure from error
        finally:
            self._running.discard(task)
            self._last = time.monotonic()
        return result

    def _check_pause(self) -> None:
        paused = time.monotonic() - self._last
        if paused >= self._pause_seconds:
            raise TransactionError(
                f"the transaction ran no statement for {paused:.1f} s; it may pause for "
                f"{self._pause_seconds:g} s: do slow work before or after it"
            )

    def _meaning(self, error: Exception, sql: str, arguments: Sequence[Any]) -> Exception:
        if isinstance(error, TransactionError):
            return error
        state = sqlstate_of(error)
        self.was_deadlock = state in _DEADLOCKS
        is_lost = isinstance(error, asyncpg.InterfaceError) and self._connection.is_closed()
        is_lost = is_lost or fault_of(error) is PostgresFailure.LOST
        if is_lost or isinstance(error, TimeoutError) or state[:2] in {"53", "58", "XX"}:
            return DatabaseUnavailable(f"{self._where}: {text_of(error)}")
        if state == _SYNTAX_ERROR:
            return unnumbered(sql, arguments, error) or error
        return error


class OwnTransaction(Generic[Result]):
    """One transaction in which an application writes too; it may be run several times."""

    def __init__(
        self,
        pool: Pool,
        begin: StatementFunction[Result | None],
        write: Write,
        end: Callable[[Connection, Written], Result],
        seconds: float,
    ) -> None:
        self._pool = pool
        self._begin = begin
        self._write = write
        self._end = end
        self._seconds = seconds
        self.may_repeat = False
        self.is_committing = False

    async def run(self) -> Result:
        """Run it on a connection of the pool."""
        self.is_committing = False
        async with self._pool.connection() as connection:
            found = await connection.run_sync(self._begin)
            if found is not None:
                return found
            await connection.execute(_PLAN_AS_USUAL)
            raw = await connection.get_raw_connection()
            statements = PostgresStatements(
                raw.driver_connection, str(self._pool.address), self._pool.pause_seconds
            )
            written = await self._written(statements)
            result = await connection.run_sync(self._end, written)
            self.is_committing = True
            await connection.commit()
            return result

    async def _written(self, statements: PostgresStatements) -> Written:
        try:
            async with asyncio.timeout(self._seconds) as scope:
                written = await self._write(statements)
            statements.check()
        except BaseException as error:
            self.may_repeat = statements.was_deadlock
            if isinstance(error, TimeoutError) and scope.expired():
                error = TransactionError(f"the transaction took longer than {self._seconds:g} s")
            raise WriteFailed(error) from error
        finally:
            await statements.end()
        return written


def _check_statement(sql: str) -> None:
    if refused := _REFUSED.match(sql):
        word = refused[1].upper()
        raise TransactionError(
            f"a statement of a transaction begins with {word}, which would end or outlive it"
        )
    if ours := _OURS.search(_LITERAL.sub("''", sql)):
        raise TransactionError(f"a statement of a transaction uses {ours[1]}, a table of hms-svc")
