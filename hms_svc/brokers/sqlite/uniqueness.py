"""Which of two jobs with one unique key holds it."""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

from hms_svc.brokers.codes import CANCELLED, QUEUED, SCHEDULED, STATE_OF
from hms_svc.brokers.history import Step, line
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.transaction import FileTransaction
from hms_svc.domain.event import JOB_CANCELLED
from hms_svc.domain.job import Job
from hms_svc.domain.lifecycle import REASON_REPLACED, State, Trigger
from hms_svc.domain.unique_keys import REPLACED_BY
from hms_svc.domain.uniqueness import PLAIN, UniqueRule

SQL: Final = statements_of("uniqueness.sql")
_UNTIL: Final = {"ended": 0, "started": 1, "window": 2}
BY: Final = "enqueue"


class Holder(NamedTuple):
    """The job that holds a key. Of one that is replaced the row is known, and since when the key is held."""

    id: str
    row: int | None = None
    state: int = 0
    position: int = 0
    since: int = 0


def holder_of(
    transaction: FileTransaction, queue: int, key: str, rule: UniqueRule, job_id: str, now: int
) -> Holder | None:
    """Return the job that holds the key of another one, None if there is none."""
    execute = transaction.connection.execute
    if rule.window_ms:
        bounds = {"queue": queue, "digest": _digest(key), "job": job_id}
        bounds |= {"now": now, "window": rule.window_ms}
        found = execute(SQL["window_holder"], bounds).fetchone()
        if found is not None:
            return Holder(found[0])
    if rule.until == "window":
        return None
    found = execute(SQL["holder"], (queue, key)).fetchone()
    if found is None or found[0] == job_id:
        return None
    if not rule.delay_ms or found[5]:
        return Holder(found[0])
    return Holder(*found[:5])


def until_of(job: Job) -> int:
    """Return until when a job holds its key, as its row has it; it holds for one that was rejected and is retried."""
    return _UNTIL[(job.unique or PLAIN).until]


def begin_window(
    transaction: FileTransaction, queue: int, key: str, rule: UniqueRule, job_id: str, now: int
) -> None:
    """Let the window of a key begin, if its rule has one."""
    if rule.window_ms:
        row = (queue, _digest(key), job_id, now + rule.window_ms)
        transaction.connection.execute(SQL["begin_window"], row)


def insert(
    transaction: FileTransaction, job: Job, row: tuple[Any, ...], other: Holder | None, now: int
) -> int:
    """Insert a job with a unique key, in place of `other` if it replaces one; return its state."""
    rule = job.unique or PLAIN
    if other is not None:
        row = _placed_after(other, rule, row)
        _end(transaction, job, other, row[1], now)
    since = other.since if other is not None else (now if rule.delay_ms else None)
    transaction.connection.execute(SQL["insert"], (*row, until_of(job), since))
    begin_window(transaction, row[1], job.unique_key or "", rule, job.id, now)
    return int(row[2])


def _placed_after(other: Holder, rule: UniqueRule, row: tuple[Any, ...]) -> tuple[Any, ...]:
    state, position = row[2:4]
    if other.state == QUEUED:
        state, position = QUEUED, other.position
    elif state == SCHEDULED:
        position = min(position, other.since + rule.most_ms)
    return (*row[:2], state, position, *row[4:])


def _end(transaction: FileTransaction, job: Job, other: Holder, queue: int, now: int) -> None:
    detail = REPLACED_BY.format(job=job.id)
    source = STATE_OF[other.state]
    step = Step(
        at=now, source=source, target=State.CANCELLED, trigger=Trigger.REPLACED, detail=detail
    )
    fields = {"row": other.row, "now": now, "line": line(step)}
    fields |= {"reason": REASON_REPLACED, "by": BY, "detail": detail}
    transaction.connection.execute(SQL["replace"], fields)
    transaction.move(queue, other.state, CANCELLED)
    transaction.count(queue, "cancelled")
    data = {"type": job.type, "reason": REASON_REPLACED, "by": BY, "detail": detail}
    transaction.announce(now, JOB_CANCELLED, other.id, 0, data)


def _digest(key: str) -> str:
    return hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()
