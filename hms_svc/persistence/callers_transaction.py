"""Jobs in the transaction of a producer, on its own connection: rows of the outbox, and a notice to the relays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from hms_svc.domain.errors import BadInput, SchemaMismatch
from hms_svc.domain.job import Job
from hms_svc.persistence.outbox import CHANNEL
from hms_svc.persistence.schema import Version, check_version
from hms_svc.persistence.statements import POSTGRESQL

_encode_job: Final = msgspec.json.Encoder().encode
_HERE: Final = (
    "SELECT to_regclass('hms_svc_version') IS NOT NULL AND to_regclass('job_effects') IS NOT NULL"
)
_VERSION: Final = (
    "SELECT version_num, (SELECT oldest_program FROM schema_info) FROM hms_svc_version"
)
_NOTIFY: Final = f"SELECT pg_notify('{CHANNEL}', current_schema())"
_INSERT: Final = (
    "INSERT INTO outbox (kind, id, type, subject, at, data) "
    "SELECT 'job', id, type, id, at, data FROM "
    "unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[]) WITH ORDINALITY "
    "AS added (id, type, at, data, number) ORDER BY number"
)
_INSERT_EACH: Final = text(
    "INSERT INTO outbox (kind, id, type, subject, at, data) "
    "VALUES ('job', :id, :type, :id, :at, :data)"
)
_NO_TABLES: Final = (
    "the connection sees no tables of hms-svc: it must be to the database of `database_url`, with the "
    "same search_path, and `hms-svc db migrate` must have been run there"
)


async def add_with_asyncpg(connection: Any, jobs: Sequence[Job]) -> None:
    """Add jobs on a connection of asyncpg, inside a transaction that the caller has begun."""
    if not connection.is_in_transaction():
        raise BadInput(
            "the connection is in no transaction: `async with connection.transaction():`"
        )
    if not await connection.fetchval(_HERE):
        raise SchemaMismatch(_NO_TABLES)
    _check(await connection.fetchrow(_VERSION))
    columns = zip(*map(_row, jobs), strict=True)
    await connection.execute(_INSERT, *map(list, columns))
    await connection.execute(_NOTIFY)


async def add_with_sqlalchemy(caller: AsyncConnection | AsyncSession, jobs: Sequence[Job]) -> None:
    """Add jobs in the transaction of an awaitable connection or session of SQLAlchemy."""
    if isinstance(caller, AsyncSession):
        caller = await caller.connection()
    await caller.run_sync(add, jobs)


def add(caller: Connection | Session, jobs: Sequence[Job]) -> None:
    """Add jobs in the transaction of a connection or session of SQLAlchemy."""
    connection = caller.connection() if isinstance(caller, Session) else caller
    if connection.dialect.name != POSTGRESQL:
        raise BadInput(
            f"a connection to {connection.dialect.name} cannot be shared with hms-svc: only PostgreSQL "
            "has such connections; sql.transaction(write) commits on both databases, and inside a job "
            "job.transaction(write)"
        )
    if not connection.scalar(text(_HERE)):
        raise SchemaMismatch(_NO_TABLES)
    _check(connection.execute(text(_VERSION)).first())
    names = ("id", "type", "at", "data")
    rows = [dict(zip(names, _row(job), strict=True)) for job in jobs]
    connection.execute(_INSERT_EACH, rows)
    connection.execute(text(_NOTIFY))


def _row(job: Job) -> tuple[str, str, int, bytes]:
    return job.id, job.type, job.enqueued_at, _encode_job(job)


def _check(row: Any) -> None:
    version = Version(None) if row is None else Version(row[0], row[1] or "")
    check_version(version, "the database of this connection")
