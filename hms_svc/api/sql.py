"""`sql`: jobs that are enqueued in a producer's own transaction, on connections that block."""

from __future__ import annotations

from typing import Any

from hms_svc.api.new_job import NewJob
from hms_svc.api.sql_calls import SQLALCHEMY, envelopes_of, library_of, wrong_connection


def enqueue(connection: Any, *jobs: NewJob) -> None:
    """Enqueue jobs with the commit of the transaction of a SQLAlchemy connection or session to PostgreSQL.

    Rolled back, they never were. Committed, each is delivered to the broker at least once, under its
    id. Raises BadInput for another connection, and SchemaMismatch if it does not see the tables of
    this version of hms-svc.
    """
    if library_of(connection) != SQLALCHEMY:
        raise wrong_connection(connection, "a Connection or Session of SQLAlchemy")
    added = envelopes_of(jobs)
    if added:
        from hms_svc.persistence.callers_transaction import add

        add(connection, added)


__all__ = ["enqueue"]
