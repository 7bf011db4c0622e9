"""Recording what became of claimed jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

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
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import ProgressReport, Settlement

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


def settle(transaction: Transaction, settlements: Sequence[Settlement]) -> list[LeaseToken]:
    """Write each settlement whose token still owns its job; gives the tokens that do not."""
    execute = transaction.connection.execute
    statement = SQL["settle"]
    refused = []
    for settlement in settlements:
        if execute(statement, _fields(settlement)).rowcount != 1:
            refused.append(settlement.token)
        else:
            _record(transaction, settlement)
    return refused


def _fields(settlement: Settlement) -> dict[str, Any]:
    token, done = settlement.token, settlement.disposition
    failure = done.failure
    step = Step(
        at=settlement.ended_at,
        target=done.state,
        cause=done.cause,
        started=settlement.started_at,
        attempt=settlement.attempt,
        fence=token.fence,
        worker=settlement.worker,
        detail=done.detail,
        error=words(failure),
        traceback=shorten(failure.traceback) if failure else "",
        log=done.log,
    )
    return {
        "row": token.locator,
        "id": token.job_id,
        "fence": token.fence,
        "state": CODE_OF[done.state],
        "at": done.due_at if done.due_at is not None else settlement.ended_at,
        "ended": settlement.ended_at,
        "reason": done.reason or None,
        "said_by": done.by or None,
        "detail": done.detail or None,
        "result": done.result,
        "case_id": done.case_id,
        "failure": words(failure) or None,
        "hold": encode(done.hold).decode() if done.hold else None,
        "give_back": 1 if done.give_back else 0,
        "counted": 1 if done.counted_give_back else 0,
        "line": line(step),
    }


def _record(transaction: Transaction, settlement: Settlement) -> None:
    done = settlement.disposition
    queue = transaction.queue(settlement.type)
    transaction.move(queue, PROCESSING, CODE_OF[done.state])
    for counter in _COUNTERS.get(done.state, ()):
        transaction.count(queue, counter)
    events = _EVENTS.get(done.state, ())
    if done.state is State.DEAD and done.failure is not None:
        transaction.count(queue, "failed")
        events = (JOB_FAILED, *events)
    for event in events:
        transaction.announce(
            settlement.ended_at,
            event,
            settlement.token.job_id,
            settlement.token.fence,
            _event_data(settlement, done),
        )


def _event_data(settlement: Settlement, done: Disposition) -> dict[str, Any]:
    return {
        "type": settlement.type,
        "attempt": settlement.attempt,
        "duration_ms": settlement.ended_at - settlement.started_at,
        "case_id": done.case_id,
        "reason": done.reason,
        "by": done.by,
        "detail": done.detail,
        "error": words(done.failure),
    }


def record_progress(transaction: Transaction, reports: Sequence[ProgressReport]) -> None:
    """Append progress lines of jobs that are still owned, and cap each job's stream."""
    execute = transaction.connection.execute
    for report in reports:
        row = report.token.locator
        if execute(SQL["owned"], (row, report.token.fence)).fetchone():
            message = {"row": row, "at": report.at, "share": report.share}
            execute(SQL["add_progress"], {**message, "message": report.message})
            execute(SQL["cap_progress"], {"row": row})
