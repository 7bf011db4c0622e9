"""What both forms of `sql.enqueue` share: which connections they take, and the jobs that they add."""

from __future__ import annotations

from collections.abc import Sequence

from hms_svc.api.new_job import NewJob
from hms_svc.domain.errors import BadInput
from hms_svc.domain.job import Job
from hms_svc.sdk.running_job import find_job
from hms_svc.sdk.value_checks import not_a_job

ASYNCPG = "asyncpg"
SQLALCHEMY = "sqlalchemy"
AWAITABLE_SQLALCHEMY = "sqlalchemy.ext.asyncio"
SQLITE = "sqlite3"


def library_of(connection: object) -> str:
    """Return the library of a connection: ASYNCPG, SQLALCHEMY, AWAITABLE_SQLALCHEMY, SQLITE, or empty for another."""
    modules = [each.__module__ for each in type(connection).__mro__]
    for library in (ASYNCPG, AWAITABLE_SQLALCHEMY, SQLALCHEMY, SQLITE):
        if any(name == library or name.startswith(f"{library}.") for name in modules):
            return library
    return ""


def wrong_connection(connection: object, taken: str) -> BadInput:
    """Return the error for a connection that this form does not take."""
    given = f"{type(connection).__module__}.{type(connection).__qualname__}"
    other = {
        ASYNCPG: ": await hms_svc.aio.sql.enqueue",
        AWAITABLE_SQLALCHEMY: ": await hms_svc.aio.sql.enqueue",
        SQLALCHEMY: ": call hms_svc.sql.enqueue",
        SQLITE: ": on SQLite, hms_svc.sql.transaction(write) commits statements and jobs",
    }
    return BadInput(
        f"sql.enqueue takes {taken}, not {given}{other.get(library_of(connection), '')}"
    )


def envelopes_of(jobs: Sequence[NewJob]) -> Sequence[Job]:
    """Return the jobs as the outbox keeps them, in a handler with its trace; raises BadInput for another value."""
    for job in jobs:
        if not isinstance(job, NewJob):
            raise not_a_job("sql.enqueue", job, "sql.enqueue(connection, *jobs)")
    envelopes = [job.envelope for job in jobs]
    running = find_job()
    return envelopes if running is None else running.carry_trace(envelopes)
