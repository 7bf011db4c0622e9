"""`sql`: jobs that are enqueued in a producer's own transaction, for plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from hms_svc.api import producer_transaction
from hms_svc.api.new_job import NewJob
from hms_svc.api.portal import block_long
from hms_svc.api.sql_calls import SQLALCHEMY, envelopes_of, library_of, wrong_connection

if TYPE_CHECKING:
    from hms_svc.sdk.transactions import BlockingTransaction

ValueT = TypeVar("ValueT")


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


def transaction(write: Callable[[BlockingTransaction], ValueT]) -> ValueT:
    """Run `write` in one transaction of the database of hms-svc, and return its value, as it is.

    The statements of `write` and the jobs and events that it adds commit together; the jobs are delivered
    to the broker at least once afterwards, each under its id. An error of `write` rolls back and is raised.
    `write` is called again after a deadlock. No record says that it is committed: call it again, and it
    runs again.

    Raises BadInput inside a job, whose form is `dao.transaction`; TransactionError for what is not possible
    inside; DatabaseUnavailable, which says so if the transaction may have been committed; and WrongThread
    on a thread whose event loop runs.
    """
    producer_transaction.check_producer()
    with producer_transaction.leaving():
        value: ValueT = block_long(
            lambda: producer_transaction.transaction(write),
            "hms_svc.aio.sql.transaction",
            is_bounded=True,
        )
    return value


__all__ = ["enqueue", "transaction"]
