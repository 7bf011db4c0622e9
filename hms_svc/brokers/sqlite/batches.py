"""Batches in the queue file: their jobs are accepted, and what follows these is made when they have ended."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hms_svc.brokers.codes import DISCARDED, STATE_OF
from hms_svc.brokers.sqlite.enqueue import enqueue, lose
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.transaction import FileTransaction
from hms_svc.domain.batches import DISCARDED as DISCARDED_NAME
from hms_svc.domain.batches import BatchView, FollowUp, NewBatch, When
from hms_svc.domain.job import Job
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import Acceptance, EnqueuedBatch
from hms_svc.ports.control import (
    BATCH_IS_CLOSED,
    BATCH_IS_WHOLE,
    NOT_KNOWN,
    ClosedBatch,
    batch_must_end_first,
)

SQL: Final = statements_of("batches.sql")
_write_job: Final = msgspec.msgpack.Encoder().encode
_read_job: Final = msgspec.msgpack.Decoder(Job).decode


def report_moves(connection: sqlite3.Connection, moved: set[str]) -> None:
    """Add each batch of which this connection ends a job, or undoes an end, to `moved`."""
    connection.create_function("note_moved_batch", 1, moved.add)
    connection.execute(SQL["report_moves"])


def accept(
    transaction: FileTransaction,
    batch: NewBatch,
    jobs: Sequence[Job],
    now: int,
    *,
    is_first: bool,
    is_last: bool,
) -> EnqueuedBatch | None:
    """Accept some members of a batch, with its record if they are the first; the last ones close it.

    Return None if the record is missing after the first members.
    """
    execute = transaction.connection.execute
    known = execute(SQL["known"], (batch.id,)).fetchone()
    if known is not None and known[0] != batch.digest:
        return EnqueuedBatch(Acceptance.CONFLICT)
    if known is not None and not known[1]:
        return EnqueuedBatch(Acceptance.EXISTS, left_out=known[2], closed_by=known[3])
    if known is None and not is_first:
        return None
    ids = [job.id for job in (*jobs, *batch.follow_ups)]
    taken = execute(SQL["taken"], {"ids": encode(ids).decode(), "batch": batch.id}).fetchone()
    if taken is not None:
        return EnqueuedBatch(Acceptance.CONFLICT, taken[0])
    if known is None:
        _add(transaction, batch)
    enqueue(transaction, jobs, now)
    execute(SQL["grow"], (now, batch.id))
    if is_last:
        execute(SQL["close"], (batch.id,))
        advance(transaction, batch.id, now)
    return EnqueuedBatch(Acceptance.ACCEPTED)


def _add(transaction: FileTransaction, batch: NewBatch) -> None:
    row = (batch.id, batch.digest, batch.when.value, batch.total, batch.created_at, batch.by)
    transaction.connection.execute(SQL["add"], row)
    rows = [
        (batch.id, number, job.id, job.type, _write_job(job))
        for number, job in enumerate(batch.follow_ups)
    ]
    transaction.each(SQL["add_follow_up"], rows)


def close(transaction: FileTransaction, batch_id: str, by: str, now: int) -> ClosedBatch:
    """Close an open batch with the members that it has; remove it if it has no job then."""
    execute = transaction.connection.execute
    found = execute(SQL["to_close"], (batch_id,)).fetchone()
    if found is None:
        return ClosedBatch(NOT_KNOWN)
    is_open, closed_by, members, accepted = found
    if not is_open:
        return ClosedBatch(BATCH_IS_CLOSED.format(by=closed_by) if closed_by else BATCH_IS_WHOLE)
    # Members that were removed and submitted again count twice, but an open batch lacks at least one.
    left_out = max(members - accepted, 1)
    counts = {"members": members, "accepted": accepted, "left_out": left_out}
    execute(SQL["close_early"], {"id": batch_id, "by": by, **counts})
    advance(transaction, batch_id, now)
    execute(SQL["remove_if_empty"], (batch_id,))
    return ClosedBatch("", accepted, left_out)


def advance(transaction: FileTransaction, batch_id: str, now: int) -> None:
    """Make the next follow-up of a batch if it is its turn, and record whether the batch has ended."""
    execute = transaction.connection.execute
    while row := execute(SQL["standing"], (batch_id,)).fetchone():
        is_open, condition, ended_at, is_unfinished, has_failed, number = row
        if is_open or is_unfinished:
            if ended_at is not None:
                execute(SQL["end"], (None, batch_id))
            return
        if number is None or (has_failed and condition == When.COMPLETED):
            if ended_at is None:
                execute(SQL["end"], (now, batch_id))
            return
        _make(transaction, batch_id, number, now)


def _make(transaction: FileTransaction, batch_id: str, number: int, now: int) -> None:
    """Accept a follow-up as a job that is submitted now; another job with its id takes its place."""
    execute = transaction.connection.execute
    job_id, type, stored = execute(SQL["follow_up"], (batch_id, number)).fetchone()
    execute(SQL["note_made"], (batch_id, number))
    if not stored:
        execute(SQL["note_skipped"], (batch_id,))
        return
    try:
        job = _read_job(stored)
    except msgspec.MsgspecError:
        unread = Job(id=job_id, type=type, data=b"null", enqueued_at=now, batch=batch_id)
        answer = lose(transaction, unread, stored, now)
    else:
        not_before = now + job.rule_delay_ms if job.rule_delay_ms else job.not_before
        job = msgspec.structs.replace(job, enqueued_at=now, not_before=not_before)
        [answer] = enqueue(transaction, [job], now)
    if answer.acceptance is not Acceptance.ACCEPTED:
        execute(SQL["note_skipped"], (batch_id,))
    transaction.lets_in = True


def erase_follow_up(transaction: FileTransaction, job_id: str) -> str:
    """Erase a job that is to follow a batch which does not run, or return why not: its turn will be skipped."""
    found = transaction.connection.execute(SQL["erasable"], (job_id,)).fetchone()
    if found is None:
        return NOT_KNOWN
    batch_id, is_allowed = found
    if not is_allowed:
        return batch_must_end_first(batch_id)
    transaction.connection.execute(SQL["erase_follow_up"], (job_id,))
    return ""


def views(
    rows: Iterable[sqlite3.Row], counts: Iterable[sqlite3.Row], follow_ups: Iterable[sqlite3.Row]
) -> list[BatchView]:
    """Return the batches in rows of `batches`, with the counts and the follow-ups of all of them."""
    of_states: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for batch, state, n in counts:
        name = DISCARDED_NAME if state == DISCARDED else STATE_OF[state].value
        of_states[batch][name] = of_states[batch].get(name, 0) + n
    following: defaultdict[str, list[FollowUp]] = defaultdict(list)
    for batch, job_id, type, is_made in follow_ups:
        following[batch].append(FollowUp(job_id, type, bool(is_made)))
    return [
        BatchView(
            id=row["id"],
            when=When(row["condition"]),
            total=row["total"],
            counts=of_states[row["id"]],
            follow_ups=tuple(following[row["id"]]),
            created_at=row["created_at"],
            by=row["created_by"],
            is_open=bool(row["is_open"]),
            ended_at=row["ended_at"],
            closed_by=row["closed_by"],
            left_out=row["left_out"],
        )
        for row in rows
    ]
