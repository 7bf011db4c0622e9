"""PostgreSQL: transactions on a small pool of connections, with bounded, uninterrupted calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Generic

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from hms_svc.domain.errors import BadInput, DatabaseUnavailable
from hms_svc.persistence.engine import Item, Result, StatementFunction, WriteFailed
from hms_svc.persistence.postgres_address import PostgresAddress
from hms_svc.persistence.postgres_errors import (
    FAILURES,
    PostgresFailure,
    drivers_error,
    fault_of,
    is_outage_after_all,
    is_shared_session,
    shared_sessions,
    text_of,
)
from hms_svc.persistence.postgres_listener import OutboxListener
from hms_svc.persistence.postgres_locks import lock_numbers, lock_space
from hms_svc.persistence.postgres_pool import Pool
from hms_svc.persistence.postgres_statements import OwnTransaction
from hms_svc.ports.answer_timeout import AnswerBound
from hms_svc.ports.transactions import Write, Written

_TRIES: Final = 5
_PAUSE_SECONDS: Final = 0.02
_UNKNOWN_COMMIT: Final = (
    "this was during COMMIT, so the transaction may have been committed; to repeat it is harmless for "
    "its jobs if they have the same ids, and for its statements if they allow it (`on conflict do nothing`)"
)


class PostgresEngine:
    """The database of a fleet; see Engine.

    A call runs in its own task: a cancelled caller stops waiting, and the transaction
    still runs to its end, so that no connection is left in an undefined state.
    With `bounded` no caller waits for a server that does not respond; see AnswerBound.
    """

    kind = "postgresql"
    embedded = False
    gapless = False

    def __init__(
        self,
        address: PostgresAddress,
        *,
        pool_size: int = 5,
        statement_seconds: float = 5.0,
        bounded: bool = False,
    ) -> None:
        self.where = str(address)
        self._pool = Pool(address, size=pool_size, statement_seconds=statement_seconds)
        self._listener = OutboxListener(address)
        self._running: set[asyncio.Task[Any]] = set()
        self._bound = (
            AnswerBound(self.where, self._pool.probe, DatabaseUnavailable) if bounded else None
        )

    async def open(self) -> None:
        """Connect and check the server; raise BadSetting if it is not suitable; see Engine."""
        await self._in_time(lambda: self._retry(self._pool.open))

    async def close(self) -> None:
        """Wait for running calls, then disconnect; see Engine."""
        if self._bound is not None:
            await self._bound.close()
        await self._listener.close()
        while self._running:
            await asyncio.wait(self._running)
        await self._pool.close()

    async def write(
        self, function: StatementFunction[Result], *, repeatable: bool = True
    ) -> Result:
        """Run the function in one transaction; see Engine."""
        transaction = _Transaction(self._pool, function)
        return await self._in_time(
            lambda: self._retry(
                transaction.run, may_repeat=lambda: repeatable or not transaction.is_committing
            )
        )

    async def transact(
        self,
        begin: StatementFunction[Result | None],
        write: Write,
        end: Callable[[Connection, Written], Result],
        *,
        seconds: float,
        repeatable: bool = True,
    ) -> Result:
        """Run `write` on the loop, on the same connection; see Engine."""
        transaction = OwnTransaction(self._pool, begin, write, end, seconds)

        def may_repeat() -> bool:
            return repeatable or not transaction.is_committing

        for left in reversed(range(_TRIES)):
            try:
                return await self._to_the_end(self._retry(transaction.run, may_repeat))
            except WriteFailed as failed:
                if not left or not transaction.may_repeat:
                    raise failed.error from None
            except DatabaseUnavailable as error:
                if may_repeat():
                    raise
                raise DatabaseUnavailable(f"{error}: {_UNKNOWN_COMMIT}") from error
            except DBAPIError as error:
                if not transaction.is_committing:
                    raise
                # A constraint of the application that is checked at the commit.
                raise drivers_error(error) from None
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))
        raise AssertionError("the last try returns or raises")

    async def write_apart(self, function: StatementFunction[Result]) -> Result:
        """Run the function without a transaction around it; see Engine."""
        return await self.read(function)

    async def read(self, function: StatementFunction[Result]) -> Result:
        """Run the function without a transaction around it; see Engine."""
        return await self._in_time(lambda: self._retry(lambda: self._run_apart(function)))

    async def relay(
        self,
        take: StatementFunction[list[Item]],
        deliver: Callable[[list[Item]], Awaitable[None]],
        mark: Callable[[Connection, list[Item]], None],
    ) -> int:
        """Hold the locks of the taken rows until they are marked; see Engine."""
        work = _Relay(self._pool, take, deliver, mark)
        return await self._to_the_end(self._retry(work.run))

    def notify(self, connection: Connection, channel: str) -> bool:
        """Notify with the name of the schema as the payload; see Engine."""
        connection.execute(select(func.pg_notify(channel, self._pool.schema)))
        return True

    async def listen(self, channel: str, wake: Callable[[], None]) -> None:
        """Listen on a separate connection; see Engine."""
        await self._listener.open(channel, self._pool.schema, wake)

    async def change_schema(self, function: StatementFunction[Result]) -> Result:
        """Run the function in one transaction, on a separate connection; see Engine."""
        return await self._to_the_end(self._retry(lambda: self._change(function)))

    def lock(self, connection: Connection, numbers: Sequence[int]) -> None:
        """Take an advisory lock for each number, in order; see Engine."""
        lock_numbers(connection, lock_space(self._pool.schema), numbers)

    def capacity(self) -> None:
        """Return None: a server does not report its disk; see Engine."""

    async def backup(self, path: str) -> None:
        """Raise BadInput: the server's own tools do it."""
        raise BadInput(
            f"{self.where} is not an embedded file, so {path} was not written: "
            "use pg_dump or your server's backup"
        )

    async def _run_apart(self, function: StatementFunction[Result]) -> Result:
        async with self._pool.connection(apart=True) as connection:
            return await connection.run_sync(function)

    async def _change(self, function: StatementFunction[Result]) -> Result:
        async with self._pool.patient_connection() as connection:
            result = await connection.run_sync(function)
            await connection.commit()
            return result

    async def _retry(
        self,
        attempt: Callable[[], Awaitable[Result]],
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> Result:
        left = _TRIES
        while True:
            left -= 1
            try:
                return await attempt()
            except FAILURES as error:
                if is_shared_session(error):
                    raise shared_sessions(self.where) from error
                fault = fault_of(error)
                if fault is PostgresFailure.BUG or (fault is PostgresFailure.AGAIN and not left):
                    self._raise_final(error)
                is_unknown = fault is PostgresFailure.LOST and not may_repeat()
                if fault is PostgresFailure.OUTAGE or not left or is_unknown:
                    raise DatabaseUnavailable(f"{self.where}: {text_of(error)}") from error
                if fault is PostgresFailure.AGAIN:
                    await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))

    def _raise_final(self, error: BaseException) -> None:
        if is_outage_after_all(error):
            raise DatabaseUnavailable(f"{self.where}: {text_of(error)}") from error
        raise error

    async def _in_time(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        if self._bound is None:
            return await self._to_the_end(work())
        async with self._bound.hold():
            return await self._to_the_end(work())

    async def _to_the_end(self, work: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.create_task(work, name="postgresql")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_retrieve_error)
        await asyncio.wait({task})
        return task.result()


class _Transaction(Generic[Result]):
    """A transaction that may be attempted several times."""

    def __init__(self, pool: Pool, function: StatementFunction[Result]) -> None:
        self._pool = pool
        self._function = function
        self.is_committing = False

    async def run(self) -> Result:
        self.is_committing = False
        async with self._pool.connection() as connection:
            result = await connection.run_sync(self._function)
            self.is_committing = True
            await connection.commit()
        return result


class _Relay(Generic[Item]):
    """Rows being relayed; on a retry delivered rows are only marked, not delivered again."""

    def __init__(
        self,
        pool: Pool,
        take: StatementFunction[list[Item]],
        deliver: Callable[[list[Item]], Awaitable[None]],
        mark: Callable[[Connection, list[Item]], None],
    ) -> None:
        self._pool = pool
        self._take = take
        self._deliver = deliver
        self._mark = mark
        self._delivered: list[Item] = []

    async def run(self) -> int:
        async with self._pool.connection() as connection:
            items = self._delivered or await connection.run_sync(self._take)
            if items:
                if not self._delivered:
                    await self._deliver(items)
                    self._delivered = items
                await connection.run_sync(self._mark, items)
                await connection.commit()
        return len(items)


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    """Retrieve the error of a task whose caller was cancelled."""
    if not task.cancelled():
        task.exception()
