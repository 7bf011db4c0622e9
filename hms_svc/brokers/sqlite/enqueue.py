"""Accepts jobs, and foreign bytes that may not be jobs."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from hms_svc.brokers.codes import DEAD, QUEUED, REJECTED, SCHEDULED, STATE_OF, turn
from hms_svc.brokers.envelope import write_envelope
from hms_svc.brokers.intake import keep_bytes, read_item
from hms_svc.brokers.sqlite import uniqueness
from hms_svc.brokers.sqlite.transaction import SQL, FileTransaction
from hms_svc.brokers.unreported_ends import UNREADABLE
from hms_svc.domain.causes import cause_of
from hms_svc.domain.errors import BadInput
from hms_svc.domain.event import JOB_DEAD, JOB_REJECTED
from hms_svc.domain.ids import new_job_id
from hms_svc.domain.job import Job
from hms_svc.domain.lifecycle import (
    REASON_ID_CONFLICT,
    REASON_LOST,
    REASON_MALFORMED,
    REASON_UNIQUE,
    State,
)
from hms_svc.domain.strict_json import is_same_json
from hms_svc.domain.unique_keys import held_by, holder_in
from hms_svc.domain.uniqueness import PLAIN
from hms_svc.ports.broker import Acceptance, Enqueued
from hms_svc.sqlite.statements import run_many


def _row(transaction: FileTransaction, job: Job, now: int, at_rank: int) -> tuple[Any, ...]:
    queue = transaction.queue(job.type)
    priority = transaction.priority(job, queue)
    not_before = now + job.rule_delay_ms if job.rule_delay_ms else job.not_before
    scheduled = not_before is not None and not_before > now
    return (
        job.id,
        queue,
        SCHEDULED if scheduled else QUEUED,
        not_before if scheduled else turn(at_rank, priority),
        priority,
        job.enqueued_at,
        not_before,
        job.expires_at,
        job.max_attempts,
        job.unique_key,
        write_envelope(job),
        job.data,
        job.batch,
    )


def enqueue(transaction: FileTransaction, jobs: Sequence[Job], now: int) -> list[Enqueued]:
    """Accept jobs, all in one statement if there is no conflict."""
    connection = transaction.connection
    first = transaction.turns(len(jobs), now)
    rows = [_row(transaction, job, now, first + number) for number, job in enumerate(jobs)]
    if all(job.unique_key is None for job in jobs) and _insert_all(connection, rows):
        for (queue, state), count in Counter((row[1], row[2]) for row in rows).items():
            transaction.move(queue, None, state, count)
            transaction.count(queue, "accepted", count)
        return [Enqueued(row[0], Acceptance.ACCEPTED, STATE_OF[row[2]]) for row in rows]
    return [_enqueue_one(transaction, job, row, now) for job, row in zip(jobs, rows, strict=True)]


def _insert_all(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> bool:
    """Insert rows; return False if the id of one is known: then none was inserted."""
    if len(rows) == 1:
        return run_many(connection, SQL["insert"], rows) == 1
    connection.execute("SAVEPOINT bulk")
    inserted = run_many(connection, SQL["insert"], rows) == len(rows)
    if not inserted:
        connection.execute("ROLLBACK TO bulk")
    connection.execute("RELEASE bulk")
    return inserted


def _accept(transaction: FileTransaction, job: Job, row: tuple[Any, ...]) -> Enqueued:
    transaction.move(row[1], None, row[2])
    transaction.count(row[1], "accepted")
    return Enqueued(job.id, Acceptance.ACCEPTED, STATE_OF[row[2]])


def _enqueue_one(
    transaction: FileTransaction, job: Job, row: tuple[Any, ...], now: int
) -> Enqueued:
    connection = transaction.connection
    known = connection.execute(SQL["identify"], (job.id,)).fetchone()
    if known is not None:
        same = known[1] == job.type and is_same_json(known[3], job.data)
        answer = Acceptance.EXISTS if same else Acceptance.CONFLICT
        holder = holder_in(known[5]) if same and known[4] == REASON_UNIQUE else None
        return Enqueued(job.id, answer, STATE_OF.get(known[2], State.CANCELLED), holder)
    if job.unique_key is None:
        connection.execute(SQL["insert"], row)
        return _accept(transaction, job, row)
    rule = job.unique or PLAIN
    other = uniqueness.holder_of(transaction, row[1], job.unique_key, rule, job.id, now)
    if other is not None and other.row is None:
        detail = held_by(job.unique_key, other.id)
        fields = {"decided_by": uniqueness.BY, "reason": REASON_UNIQUE, "detail": detail}
        refused = _refuse(transaction, job, row[1], REJECTED, now, fields)
        return msgspec.structs.replace(refused, held_by=other.id)
    state = uniqueness.insert(transaction, job, row, other, now)
    accepted = _accept(transaction, job, (*row[:2], state))
    return accepted if other is None else msgspec.structs.replace(accepted, replaced=other.id)


def _refuse(
    transaction: FileTransaction,
    job: Job,
    queue: int,
    state: int,
    now: int,
    fields: dict[str, Any],
) -> Enqueued:
    cause = cause_of(
        STATE_OF[state],
        job.type,
        reason=fields["reason"],
        by=fields["decided_by"],
        detail=fields["detail"],
        failure="",
    )
    blank = {"raw": None, "raw_length": None, "raw_digest": None, "unique_key": job.unique_key}
    transaction.connection.execute(
        SQL["insert_refused"],
        blank
        | {
            "member_of": job.batch,
            "unique_until": uniqueness.until_of(job),
            "id": job.id,
            "queue": queue,
            "state": state,
            "at": now,
            "priority": transaction.priority(job, queue),
            "envelope": write_envelope(job),
            "data": job.data,
        }
        | fields,
    )
    group = transaction.causes.file_under(cause)
    transaction.connection.execute(SQL["file_under"], (group, job.id))
    transaction.move(queue, None, state)
    transaction.count(queue, "accepted")
    transaction.count(queue, "rejected" if state == REJECTED else "dead")
    event = JOB_REJECTED if state == REJECTED else JOB_DEAD
    outcome = {"reason": fields["reason"], "by": fields["decided_by"], "detail": fields["detail"]}
    transaction.announce(now, event, job.id, 0, {"type": job.type, **outcome})
    return Enqueued(job.id, Acceptance.ACCEPTED, STATE_OF[state])


def read_items(type: str, items: Sequence[bytes], now: int) -> list[tuple[bytes, Job | BadInput]]:
    """Parse foreign bytes before the transaction; return each item with its job, or why it is not one."""
    return [(item, _read(type, item, now)) for item in items]


def _read(type: str, item: bytes, now: int) -> Job | BadInput:
    try:
        return read_item(type, item, now)
    except BadInput as error:
        return error


def enqueue_raw(
    transaction: FileTransaction,
    type: str,
    items: Sequence[tuple[bytes, Job | BadInput]],
    now: int,
) -> list[Enqueued]:
    """Accept foreign bytes; those that are not jobs become dead letters."""
    return [_enqueue_item(transaction, type, item, job, now) for item, job in items]


def _enqueue_item(
    transaction: FileTransaction, type: str, item: bytes, job: Job | BadInput, now: int
) -> Enqueued:
    if isinstance(job, BadInput):
        return _bury(transaction, _letter(type, now), item, now, REASON_MALFORMED, str(job))
    try:
        answer = _enqueue_one(
            transaction, job, _row(transaction, job, now, transaction.turns(1, now)), now
        )
    except sqlite3.IntegrityError as error:
        return _bury(transaction, _letter(type, now), item, now, REASON_MALFORMED, str(error))
    if answer.acceptance is Acceptance.CONFLICT:
        detail = f"id {job.id} is taken by another job"
        return _bury(transaction, _letter(type, now), item, now, REASON_ID_CONFLICT, detail)
    return answer


def _letter(type: str, now: int) -> Job:
    """Return the dead letter for bytes that are not a job."""
    return Job(id=new_job_id(), type=type, data=b"null", enqueued_at=now)


def lose(transaction: FileTransaction, job: Job, raw: bytes, now: int) -> Enqueued:
    """Record a job whose record is none of this version, unless its id is taken."""
    if transaction.connection.execute(SQL["identify"], (job.id,)).fetchone() is not None:
        return Enqueued(job.id, Acceptance.CONFLICT, State.DEAD)
    return _bury(transaction, job, raw, now, REASON_LOST, UNREADABLE, by="runtime")


def _bury(
    transaction: FileTransaction,
    job: Job,
    item: bytes,
    now: int,
    reason: str,
    detail: str,
    *,
    by: str = "intake",
) -> Enqueued:
    kept = keep_bytes(item)
    fields = {
        "reason": reason,
        "decided_by": by,
        "detail": detail,
        "raw": kept.raw,
        "raw_length": kept.length,
        "raw_digest": kept.digest,
    }
    return _refuse(transaction, job, transaction.queue(job.type), DEAD, now, fields)
