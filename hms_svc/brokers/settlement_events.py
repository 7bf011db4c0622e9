"""The effects of a settlement: its life-cycle events, running counters and history line."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.brokers.history import Step, failure_text, shorten
from hms_svc.domain.event import (
    JOB_CANCELLED,
    JOB_COMPLETED,
    JOB_DEAD,
    JOB_FAILED,
    JOB_HELD,
    JOB_REJECTED,
    JOB_RETRYING,
    TRACE_MEMBER,
)
from hms_svc.domain.lifecycle import REASON_CANCELLED, State, Trigger
from hms_svc.domain.outcome import Disposition
from hms_svc.ports.broker import Settlement

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
_FAILED_ENDS: Final = frozenset({State.DEAD, State.CANCELLED})


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
    traceparent: str | None = msgspec.field(default=None, name=TRACE_MEMBER)


def events_of(done: Disposition) -> tuple[str, ...]:
    """Return the types of the events that announce a disposition."""
    events = _EVENTS.get(done.state, ())
    is_failed = done.failure is not None and done.state in _FAILED_ENDS
    return (JOB_FAILED, *events) if is_failed else events


def counters_of(done: Disposition) -> tuple[str, ...]:
    """Return the running counters that a disposition increments."""
    counters = _COUNTERS.get(done.state, ())
    is_failed = done.failure is not None and done.state in _FAILED_ENDS
    return ("failed", *counters) if is_failed else counters


def event_data(settlement: Settlement) -> EventData:
    """Return the data of the events of a settlement."""
    done, failure = settlement.disposition, settlement.disposition.failure
    return EventData(
        type=settlement.type,
        attempt=settlement.attempt,
        duration_ms=settlement.ended_at - settlement.started_at,
        case_id=done.case_id,
        reason=done.reason,
        by=done.by,
        detail=done.detail,
        error=failure_text(failure) if failure else "",
        traceparent=settlement.traceparent,
    )


def step_of(settlement: Settlement) -> Step:
    """Return the step that a settlement adds to the history of its job."""
    done, failure = settlement.disposition, settlement.disposition.failure
    return Step(
        at=settlement.ended_at,
        target=done.state,
        trigger=done.trigger,
        started=settlement.started_at,
        attempt=settlement.attempt,
        fence=settlement.token.fence,
        worker=settlement.worker,
        detail=done.detail,
        error=failure_text(failure) if failure else "",
        traceback=shorten(failure.traceback) if failure else "",
        log=done.log,
    )


def as_cancelled(settlement: Settlement, by: str, detail: str) -> Settlement:
    """Return the settlement of a run with a cancel request, in place of one that would run again."""
    cancelled = Disposition(
        state=State.CANCELLED,
        trigger=Trigger.OPERATOR,
        reason=REASON_CANCELLED,
        by=by,
        detail=detail,
        failure=settlement.disposition.failure,
        log=settlement.disposition.log,
    )
    return msgspec.structs.replace(settlement, disposition=cancelled)
