"""Removing what outlived its retention, a bounded number of records at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hms_svc.brokers.sqlite.claiming import give_up
from hms_svc.brokers.sqlite.codes import CANCELLED, COMPLETED, DISCARDED, QUEUED, STATE_OF
from hms_svc.brokers.sqlite.transaction import SQL, Transaction
from hms_svc.domain.lifecycle import REASON_NO_HANDLER, Cause
from hms_svc.ports.broker import WorkerRegistration
from hms_svc.sqlite.statements import load_statements

OPERATOR: Final = load_statements(__package__, "sql/operator.sql")


def forget(transaction: Transaction, job_ids: Sequence[str]) -> None:
    """Remove terminal records by id."""
    for job_id in job_ids:
        row = transaction.connection.execute(
            "SELECT row, queue, state FROM jobs WHERE id = ? AND state >= 6", (job_id,)
        ).fetchone()
        if row is not None:
            _remove(transaction, row[1], row[2], [row[0]])


def trim_terminal(transaction: Transaction, before: int, most: int, limit: int) -> int:
    """Remove completed and cancelled jobs that ended before a time, or beyond the number kept."""
    removed = 0
    kept = transaction.connection.execute(
        "SELECT coalesce(sum(n), 0) FROM tallies WHERE name = ?", (STATE_OF[COMPLETED].value,)
    ).fetchone()[0]
    for queue in _queues(transaction):
        for state in (COMPLETED, CANCELLED):
            rows = _oldest(transaction, state, queue, before, limit - removed)
            removed += _remove(transaction, queue, state, rows)
    surplus = min(kept - most, limit - removed)
    for queue in _queues(transaction):
        if surplus <= 0:
            break
        rows = _oldest(transaction, COMPLETED, queue, 2**62, surplus)
        surplus -= len(rows)
        removed += _remove(transaction, queue, COMPLETED, rows)
    return removed


def trim_discarded(transaction: Transaction, before: int, limit: int) -> int:
    """Remove discarded jobs that can no longer be undone."""
    removed = 0
    for queue in _queues(transaction):
        rows = _oldest(transaction, DISCARDED, queue, before, limit - removed)
        removed += _remove(transaction, queue, DISCARDED, rows)
    return removed


def trim_events(transaction: Transaction, bounds: dict[str, int], limit: int) -> int:
    """Remove old events beyond the age or the number kept."""
    return transaction.connection.execute(
        OPERATOR["trim_events"], {**bounds, "limit": limit}
    ).rowcount


def bury_unserved(
    transaction: Transaction, seen_since: int, older_than: int, now: int, limit: int
) -> int:
    """Dead-letter ready jobs of queues that no worker seen since a time serves."""
    rows = transaction.connection.execute(OPERATOR["served"], (seen_since,)).fetchall()
    served = {
        type for row in rows for type in msgspec.json.decode(row[0], type=WorkerRegistration).types
    }
    buried = 0
    for queue, type, *_ in transaction.connection.execute(OPERATOR["queues"]).fetchall():
        if type in served:
            continue
        bounds = (QUEUED, queue, older_than, limit - buried)
        for row, job_id, _queue, _position in transaction.connection.execute(
            OPERATOR["oldest"], bounds
        ).fetchall():
            give_up(
                transaction, (row, job_id, queue, type), now, REASON_NO_HANDLER, Cause.UNSERVED,
                f"no worker served {type} for as long as unserved jobs are kept",
            )  # fmt: skip
            buried += 1
    return buried


def _queues(transaction: Transaction) -> list[int]:
    return [row[0] for row in transaction.connection.execute("SELECT queue FROM queues")]


def _oldest(transaction: Transaction, state: int, queue: int, before: int, limit: int) -> list[int]:
    bounds = (state, queue, before, max(0, limit))
    return [row[0] for row in transaction.connection.execute(OPERATOR["oldest"], bounds)]


def _remove(transaction: Transaction, queue: int, state: int, rows: list[int]) -> int:
    transaction.each(OPERATOR["delete"], [(row,) for row in rows])
    transaction.each(SQL["drop_progress"], [(row,) for row in rows])
    transaction.move(queue, None if state == DISCARDED else state, None, len(rows))
    return len(rows)
