"""`aio.sql`: jobs that are enqueued in a producer's own transaction, awaitable."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from hms_svc.api import producer_transaction
from hms_svc.api.new_job import NewJob
from hms_svc.api.portal import on_right_loop
from hms_svc.api.sql_calls import (
    ASYNCPG,
    AWAITABLE_SQLALCHEMY,
    envelopes_of,
    library_of,
    wrong_connection,
)

if TYPE_CHECKING:
    from hms_svc.sdk.transactions import Transaction

ValueT = TypeVar("ValueT")


async def enqueue(connection: Any, *jobs: NewJob) -> None:
    """Enqueue jobs as `hms_svc.sql.enqueue` does, on a connection of asyncpg or an awaitable one of SQLAlchemy.

    That is an `asyncpg.Connection` (also of a pool) inside a transaction, an `AsyncConnection` or an
    `AsyncSession`.
    """
    library = library_of(connection)
    if library not in (ASYNCPG, AWAITABLE_SQLALCHEMY):
        raise wrong_connection(
            connection, "a connection of asyncpg, or an AsyncConnection or AsyncSession"
        )
    added = envelopes_of(jobs)
    if not added:
        return
    from hms_svc.persistence import callers_transaction

    if library == ASYNCPG:
        await callers_transaction.add_with_asyncpg(connection, added)
    else:
        await callers_transaction.add_with_sqlalchemy(connection, added)


async def transaction(write: Callable[[Transaction], Coroutine[Any, Any, ValueT]]) -> ValueT:
    """Run an async function in one transaction, as `hms_svc.sql.transaction` runs a plain one.

    It runs on the loop or the thread of hms-svc, not on that of the caller, and should await nothing but
    its own statements. A cancellation before the commit rolls back.
    """
    producer_transaction.check_producer()
    with producer_transaction.leaving():
        value: ValueT = await on_right_loop(lambda: producer_transaction.transaction(write))
    return value


__all__ = ["enqueue", "transaction"]
