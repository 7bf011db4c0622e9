"""Recovers jobs whose lease has expired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from hms_svc.brokers.codes import (
    CODE_OF,
    PROCESSING,
)
from hms_svc.brokers.history import Step, line
from hms_svc.brokers.sqlite.cancellation import (
    StoredCancelRequest,
    forget_requests,
    open_requests,
)
from hms_svc.brokers.sqlite.transaction import SQL, FileTransaction
from hms_svc.brokers.sqlite.type_limits import (
    note_ended,
)
from hms_svc.brokers.unreported_ends import (
    CRASHES,
    WORKER_DIED,
    Effects,
    Fate,
    crash_text,
    effects_of,
    fate_of,
    is_exhausted,
)
from hms_svc.domain import failpoints
from hms_svc.domain.backoff import DEFAULT_MAX_ATTEMPTS
from hms_svc.domain.causes import cause_of
from hms_svc.domain.event import JOB_CANCELLED, JOB_DEAD
from hms_svc.domain.lifecycle import (
    REASON_CANCELLED,
    REASON_CRASHED,
    State,
    Trigger,
)
from hms_svc.ports.broker import KnownEffects, ReapReport

Row = tuple[Any, ...]


def reap(
    transaction: FileTransaction,
    limit: int,
    now: int,
    lease_now: int,
    known: Mapping[str, KnownEffects],
) -> ReapReport:
    """Recover jobs whose lease has expired."""
    rows = transaction.connection.execute(
        SQL["lapsed"], {"now": lease_now, "limit": limit}
    ).fetchall()
    if not rows:
        return ReapReport()
    requests = open_requests(transaction)
    if failpoints.armed is not None:
        failpoints.reached("reaper.found")
    ends: Counter[State] = Counter()
    undecided: list[tuple[str, int]] = []
    for row in rows:
        request = requests.get((row[0], row[4]))
        crashes, end = _end_of_lapsed(row, request, known.get(row[1]))
        if end is None:
            undecided.append((row[1], row[4]))
        else:
            _recover(transaction, row, crashes, end, now)
            ends[end.state] += 1
    if requests:
        forget_requests(transaction)
    if ends:
        queues = {transaction.queue(row[3]) for row in rows}
        note_ended(transaction, [row[0] for row in rows], queues, now)
    return ReapReport(
        rescued=ends[State.QUEUED],
        dead=ends[State.DEAD],
        cancelled=ends[State.CANCELLED],
        undecided=tuple(undecided),
    )


def _recover(transaction: FileTransaction, row: Row, crashes: int, end: _End, now: int) -> None:
    number, job_id, queue, type, fence, attempt, _most, _crashes, lane, worker, started = row
    failure = f"{WORKER_DIED}: {crash_text(worker, alone=lane == 1)}"
    step = Step(
        at=now,
        target=end.state,
        trigger=end.trigger,
        detail=end.note,
        started=started,
        attempt=attempt,
        fence=fence,
        worker=worker or "",
        error=failure,
    )
    outcome = {"reason": end.reason, "by": end.by, "detail": end.detail}
    cause = cause_of(end.state, type, failure=failure, **outcome)
    fields = {
        "row": number,
        "now": now,
        "crashes": crashes,
        "give_back": int(lane == 0),
        "line": line(step),
        "failure": failure,
        "state": CODE_OF[end.state],
        "cause": transaction.causes.file_under(cause) if end.state is State.DEAD else None,
    }
    statement = "rescue" if end.event is None else "end_lapsed"
    transaction.connection.execute(SQL[statement], fields | outcome)
    transaction.move(queue, PROCESSING, CODE_OF[end.state])
    if end.event is not None:
        transaction.count(queue, end.state.value)
        transaction.announce(now, end.event, job_id, fence, {"type": type, **outcome})


class _End(msgspec.Struct, frozen=True, kw_only=True):
    """What a job becomes whose worker died; `note` goes into its history."""

    state: State
    trigger: Trigger
    note: str
    reason: str = ""
    by: str = ""
    detail: str = ""
    event: str | None = None


def _end_of_lapsed(
    row: Row, request: StoredCancelRequest | None, known: KnownEffects | None
) -> tuple[int, _End | None]:
    """Return the crashes including this one, and what the job becomes, None if that is unknown."""
    attempt, max_attempts, crashes, lane, worker = row[5:10]
    alone, most = lane == 1, max_attempts or DEFAULT_MAX_ATTEMPTS
    crashes += alone
    crash = crash_text(worker, alone=alone)
    fate = fate_of(
        exhausted=is_exhausted(alone=alone, crashes=crashes, attempt=attempt, most=most),
        requested=request is not None and not request.has_case,
        effects=_effects(known, row[4]),
    )
    if fate is Fate.DEAD:
        detail = CRASHES.format(crash=crash, crashes=crashes, attempt=attempt, most=most)
        return crashes, _End(
            state=State.DEAD,
            trigger=Trigger.RESCUED,
            note=crash,
            reason=REASON_CRASHED,
            by="reaper",
            detail=detail,
            event=JOB_DEAD,
        )
    if fate is Fate.CANCELLED and request is not None:
        return crashes, _End(
            state=State.CANCELLED,
            trigger=Trigger.OPERATOR,
            note=request.detail,
            reason=REASON_CANCELLED,
            by=request.by,
            detail=request.detail,
            event=JOB_CANCELLED,
        )
    rescued = _End(state=State.QUEUED, trigger=Trigger.RESCUED, note=crash)
    return crashes, rescued if fate is Fate.RESCUED else None


def _effects(known: KnownEffects | None, fence: int) -> Effects:
    if known is None or known.fence != fence:
        return Effects.UNKNOWN
    return effects_of(known)
