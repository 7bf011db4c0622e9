"""Removes what is past its retention, a bounded number of records at a time."""

from __future__ import annotations

import heapq
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from hms_svc.brokers.chunks import MOST_JOBS
from hms_svc.brokers.codes import (
    CANCELLED,
    COMPLETED,
    DISCARDED,
    LOWEST_RANK,
    PRIORITY_STEP,
    STATE_OF,
)
from hms_svc.brokers.failures import SLOT_MS, SLOTS, slots_until
from hms_svc.brokers.sqlite.job_claims import end_without_run
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.transaction import SQL, FileTransaction
from hms_svc.brokers.sqlite.uniqueness import SQL as WINDOWS
from hms_svc.brokers.unreported_ends import UNSERVED
from hms_svc.domain.lifecycle import REASON_NO_HANDLER, Trigger
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import WorkerRegistration

_ACTS_AT_ONCE: Final = 5_000
OPERATOR: Final = statements_of("operator.sql")


def forget(transaction: FileTransaction, job_ids: Sequence[str]) -> None:
    """Remove terminal records by id."""
    for job_id in job_ids:
        row = transaction.connection.execute(OPERATOR["ended"], (job_id,)).fetchone()
        if row is not None:
            _remove(transaction, row[1], row[2], [row[0]])


def trim_terminal(transaction: FileTransaction, before: int, most: int, limit: int) -> int:
    """Remove completed and cancelled jobs that ended before a time, or beyond the number kept.

    Beyond the number, the completed jobs that ended first are removed, from any queue.
    """
    removed = {COMPLETED: 0, CANCELLED: 0}
    for queue in _queues(transaction):
        for state in removed:
            rows = _oldest(transaction, state, queue, before, limit - sum(removed.values()))
            removed[state] += _remove(transaction, queue, state, rows)
    kept = transaction.connection.execute(
        "SELECT coalesce(sum(n), 0) FROM tallies WHERE name = ?", (STATE_OF[COMPLETED].value,)
    ).fetchone()[0]
    surplus = min(kept - removed[COMPLETED] - most, limit - sum(removed.values()))
    return sum(removed.values()) + _remove_first_ended(transaction, surplus)


def _remove_first_ended(transaction: FileTransaction, count: int) -> int:
    if count <= 0:
        return 0
    execute, ended = transaction.connection.execute, OPERATOR["completed_in_order"]
    cursors = [execute(ended, (queue,)) for queue in _queues(transaction)]
    first = list(islice(heapq.merge(*cursors), count))
    for cursor in cursors:
        cursor.close()
    rows_of = defaultdict(list)
    for _ended_at, row, queue in first:
        rows_of[queue].append(row)
    return sum(_remove(transaction, queue, COMPLETED, rows) for queue, rows in rows_of.items())


def trim_discarded(transaction: FileTransaction, before: int, limit: int) -> int:
    """Remove discarded jobs that can no longer be undone."""
    removed = 0
    for queue in _queues(transaction):
        rows = _oldest(transaction, DISCARDED, queue, before, limit - removed)
        removed += _remove(transaction, queue, DISCARDED, rows)
    return removed


def trim_acts(transaction: FileTransaction, before: int, now: int) -> None:
    """Remove undo rows of acts that can no longer be undone, the history of groups after an hour, and windows that are over."""
    transaction.connection.execute(OPERATOR["trim_undo"], (before, _ACTS_AT_ONCE))
    transaction.connection.execute(OPERATOR["trim_arrivals"], (slots_until(now)[0],))
    transaction.connection.execute(OPERATOR["trim_failing"], (now - SLOT_MS * SLOTS,))
    transaction.connection.execute(WINDOWS["trim_windows"], (now, _ACTS_AT_ONCE))


def trim_events(transaction: FileTransaction, bounds: dict[str, int], limit: int) -> int:
    """Remove the oldest events of the bus: beyond the number kept, then beyond the age."""
    removed = 0
    for statement in ("trim_events_beyond", "trim_events_before"):
        removed += transaction.connection.execute(
            OPERATOR[statement], {**bounds, "limit": limit - removed}
        ).rowcount
    return removed


def served_types(rows: Iterable[sqlite3.Row]) -> set[str]:
    """Return the types that the workers of these registrations serve."""
    return {
        type for row in rows for type in msgspec.json.decode(row[0], type=WorkerRegistration).types
    }


def idle_bounds(served: Iterable[str], among: Sequence[int] | None = None) -> dict[str, Any]:
    """Return the parameters of `idle_queues`: empty queues among these or all, at most 500."""
    return {
        "served": encode(sorted(served)).decode(),
        "among": None if among is None else encode(list(among)).decode(),
        "limit": MOST_JOBS,
    }


def forget_queues(transaction: FileTransaction, seen_since: int, found: Sequence[int]) -> None:
    """Remove queues, with their counters, that are still empty and that no worker serves."""
    execute = transaction.connection.execute
    served = served_types(execute(OPERATOR["served"], (seen_since,)).fetchall())
    idle = execute(OPERATOR["idle_queues"], idle_bounds(served, found)).fetchall()
    for statement in ("forget_tallies", "forget_queue"):
        transaction.each(OPERATOR[statement], [(row[0],) for row in idle])


def bury_unserved(
    transaction: FileTransaction, seen_since: int, older_than: int, now: int, limit: int
) -> int:
    """Dead-letter jobs ready since before a time, of queues that no live worker serves."""
    rows = transaction.connection.execute(OPERATOR["served"], (seen_since,)).fetchall()
    served = served_types(rows)
    buried = 0
    for queue, type, *_ in transaction.connection.execute(OPERATOR["queues"]).fetchall():
        if type in served:
            continue
        for row, job_id in _ready_before(transaction, queue, older_than, limit - buried):
            end_without_run(
                transaction,
                (row, job_id, queue, type),
                now,
                REASON_NO_HANDLER,
                Trigger.UNSERVED,
                UNSERVED.format(type=type),
            )
            buried += 1
    return buried


def _ready_before(
    transaction: FileTransaction, queue: int, before: int, limit: int
) -> list[tuple[int, str]]:
    """Return row and id of jobs by the time they became ready, which is the order within a priority."""
    found: list[tuple[int, str]] = []
    for band in _bands(transaction, queue):
        bounds = (queue, band, band + min(before, PRIORITY_STEP), limit - len(found))
        found += transaction.connection.execute(OPERATOR["ready_between"], bounds).fetchall()
        if len(found) >= limit:
            break
    return found


def _bands(transaction: FileTransaction, queue: int) -> Iterator[int]:
    """Yield the lowest position of each priority that has ready jobs, suspects separately."""
    band = LOWEST_RANK
    while head := transaction.connection.execute(OPERATOR["next_ready"], (queue, band)).fetchone():
        band = head[0] // PRIORITY_STEP * PRIORITY_STEP
        yield band
        band += PRIORITY_STEP


def _queues(transaction: FileTransaction) -> list[int]:
    return [row[0] for row in transaction.connection.execute("SELECT queue FROM queues")]


def _oldest(
    transaction: FileTransaction, state: int, queue: int, before: int, limit: int
) -> list[int]:
    bounds = (state, queue, before, max(0, limit))
    return [row[0] for row in transaction.connection.execute(OPERATOR["oldest"], bounds)]


def _remove(transaction: FileTransaction, queue: int, state: int, rows: list[int]) -> int:
    transaction.each(OPERATOR["delete"], [(row,) for row in rows])
    transaction.each(SQL["drop_progress"], [(row,) for row in rows])
    transaction.each(SQL["drop_steps"], [(row,) for row in rows])
    transaction.move(queue, None if state == DISCARDED else state, None, len(rows))
    return len(rows)
