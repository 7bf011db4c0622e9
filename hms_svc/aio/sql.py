"""`aio.sql`: jobs that are enqueued in a producer's own transaction, on awaitable connections."""

from __future__ import annotations

from typing import Any

from hms_svc.api.new_job import NewJob
from hms_svc.api.sql_calls import (
    ASYNCPG,
    AWAITABLE_SQLALCHEMY,
    envelopes_of,
    library_of,
    wrong_connection,
)


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


__all__ = ["enqueue"]
