"""Recording what became of claimed jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hms_svc.brokers.sqlite.cancelling import Wishes, forget_wishes, standing_wishes
from hms_svc.brokers.sqlite.codes import CODE_OF, PROCESSING
from hms_svc.brokers.sqlite.trail import Step, line, shorten, words
from hms_svc.brokers.sqlite.transaction import SQL, Transaction
from hms_svc.domain.event import (
    JOB_CANCELLED,
    JOB_COMPLETED,
    JOB_DEAD,
    JOB_FAILED,
    JOB_HELD,
    JOB_REJECTED,
    JOB_RETRYING,
)
from hms_svc.domain.job import LeaseToken
from hms_svc.domain.lifecycle import REASON_CANCELLED, TERMINAL, Cause, State
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import ProgressReport, Settlement
from hms_svc.sqlite.statements import run_many

_EVENTS: Final = {
    State.COMPLETED: (JOB_COMPLETED,),
    State.REJECTED: (JOB_REJECTED,),
    State.HELD: (JOB_HELD,),
    State.CANCELLED: (JOB_CANCELLED,),
    State.RETRYING: (JOB_FAILED, JOB_RETRYING),
    State.DEAD: (JOB_DEAD,),
}
_COUNTERS: Final = {
    State.COMPLETED: ("completed",),
    State.REJECTED: ("rejected",),
    State.CANCELLED: ("cancelled",),
    State.RETRYING: ("failed", "retried"),
    State.DEAD: ("dead",),
}


class EventData(msgspec.Struct, omit_defaults=True, gc=False):
    """The data of a life-cycle event; empty fields are left out."""

    type: str
    attempt: int
    duration_ms: int
    case_id: str | None = None
    reason: str = ""
    by: str = ""
    detail: str = ""
    error: str = ""


def settle(transaction: Transaction, settlements: Sequence[Settlement]) -> list[LeaseToken]:
    """Write each settlement whose token still owns its job; gives the tokens that do not.

    One that would let its job go on ends it where somebody has asked to cancel it.
    """
    wishes = standing_wishes(transaction)
    if not wishes:
        return _write(transaction, settlements)
    refused = _write(transaction, [_as_wished(done, wishes) for done in settlements])
    forget_wishes(transaction)
    return refused


def _as_wished(settlement: Settlement, wishes: Wishes) -> Settlement:
    token, done = settlement.token, settlement.disposition
    wish = wishes.get((token.locator, token.fence))
    if wish is None or wish.has_case or done.case_id or done.state in TERMINAL:
        return settlement
    cancelled = Disposition(
        state=State.CANCELLED,
        cause=Cause.OPERATOR,
        reason=REASON_CANCELLED,
        by=wish.by,
        detail=wish.detail,
        failure=done.failure,
        log=done.log,
    )
    return msgspec.structs.replace(settlement, disposition=cancelled)


def _write(transaction: Transaction, settlements: Sequence[Settlement]) -> list[LeaseToken]:
    """Write all in one statement; where a row of it was refused, once more one by one."""
    connection = transaction.connection
    rows = [_row(settlement) for settlement in settlements]
    connection.execute("SAVEPOINT bulk")
    if run_many(connection, SQL["settle"], rows) == len(rows):
        connection.execute("RELEASE bulk")
        _record(transaction, settlements)
        return []
    connection.execute("ROLLBACK TO bulk")
    connection.execute("RELEASE bulk")
    owned, refused = [], []
    for settlement, row in zip(settlements, rows, strict=True):
        if connection.execute(SQL["settle"], row).rowcount == 1:
            owned.append(settlement)
        else:
            refused.append(settlement.token)
    _record(transaction, owned)
    return refused


def _row(settlement: Settlement) -> tuple[Any, ...]:
    token, done = settlement.token, settlement.disposition
    failure = done.failure
    error = words(failure)
    step = Step(
        at=settlement.ended_at,
        target=done.state,
        cause=done.cause,
        started=settlement.started_at,
        attempt=settlement.attempt,
        fence=token.fence,
        worker=settlement.worker,
        detail=done.detail,
        error=error,
        traceback=shorten(failure.traceback) if failure else "",
        log=done.log,
    )
    return (
        CODE_OF[done.state],
        done.due_at if done.due_at is not None else settlement.ended_at,
        settlement.ended_at,
        done.reason or None,
        done.by or None,
        done.detail or None,
        done.result,
        done.case_id,
        error or None,
        encode(done.hold).decode() if done.hold else None,
        1 if done.give_back else 0,
        1 if done.counted_give_back else 0,
        line(step),
        token.locator,
        token.fence,
        token.job_id,
    )


def _record(transaction: Transaction, settlements: Sequence[Settlement]) -> None:
    ends = Counter((done.type, done.disposition.state) for done in settlements)
    for (type, state), count in ends.items():
        queue = transaction.queue(type)
        transaction.move(queue, PROCESSING, CODE_OF[state], count)
        for counter in _COUNTERS.get(state, ()):
            transaction.count(queue, counter, count)
    for settlement in settlements:
        _announce(transaction, settlement)


def _announce(transaction: Transaction, settlement: Settlement) -> None:
    done, token = settlement.disposition, settlement.token
    events = _EVENTS.get(done.state, ())
    if done.state in (State.DEAD, State.CANCELLED) and done.failure is not None:
        transaction.count(transaction.queue(settlement.type), "failed")
        events = (JOB_FAILED, *events)
    if not events:
        return
    data = EventData(
        type=settlement.type,
        attempt=settlement.attempt,
        duration_ms=settlement.ended_at - settlement.started_at,
        case_id=done.case_id,
        reason=done.reason,
        by=done.by,
        detail=done.detail,
        error=words(done.failure),
    )
    for event in events:
        transaction.announce(settlement.ended_at, event, token.job_id, token.fence, data)


def record_progress(transaction: Transaction, reports: Sequence[ProgressReport]) -> None:
    """Append progress lines of jobs that are still owned, and cap each job's stream."""
    execute = transaction.connection.execute
    for report in reports:
        row = report.token.locator
        if execute(SQL["owned"], (row, report.token.fence)).fetchone():
            message = {"row": row, "at": report.at, "share": report.share}
            execute(SQL["add_progress"], {**message, "message": report.message})
            execute(SQL["cap_progress"], {"row": row})
