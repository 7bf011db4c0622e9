"""Leasing jobs out, and taking them back: claim, promote, reap."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hms_svc.brokers.sqlite.codes import (
    DEAD,
    LOWEST_TURN,
    PROCESSING,
    QUEUED,
    RETRYING,
    SCHEDULED,
    STATE_OF,
    SUSPECT_BAND,
)
from hms_svc.brokers.sqlite.enqueueing import Envelope
from hms_svc.brokers.sqlite.trail import Step, line
from hms_svc.brokers.sqlite.transaction import SQL, Transaction
from hms_svc.domain.backoff import DEFAULT_MAX_ATTEMPTS, MAX_CRASHES
from hms_svc.domain.event import JOB_DEAD
from hms_svc.domain.job import ClaimedJob, Job, Lane, LeaseToken
from hms_svc.domain.lifecycle import REASON_CRASHED, REASON_EXPIRED, Cause, State
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import ClaimRequest, ReapReport, ServedType

_read_envelope: Final = msgspec.json.Decoder(Envelope).decode
_NO_ENVELOPE: Final = Envelope()
Row = tuple[Any, ...]


def claim(
    transaction: Transaction, request: ClaimRequest, first_type: int, now: int, lease_now: int
) -> list[ClaimedJob]:
    """Claim for the requested types in turn, starting with the one numbered `first_type`."""
    paused = {
        row[0]
        for row in transaction.connection.execute(
            "SELECT queue FROM queues WHERE paused_by IS NOT NULL"
        )
    }
    claimed: list[ClaimedJob] = []
    types = request.types[first_type:] + request.types[:first_type]
    for served in types:
        wanted = request.limit - len(claimed)
        if wanted <= 0:
            break
        queue = transaction.queue(served.type)
        if queue not in paused:
            claimed += _claim_from(transaction, queue, served, request, wanted, now, lease_now)
    return claimed


def _claim_from(
    transaction: Transaction,
    queue: int,
    served: ServedType,
    request: ClaimRequest,
    wanted: int,
    now: int,
    lease_now: int,
) -> list[ClaimedJob]:
    suspects = request.lane is Lane.SUSPECT
    low, high = (SUSPECT_BAND >> 1, 2**62) if suspects else (LOWEST_TURN, SUSPECT_BAND >> 1)
    rows = transaction.connection.execute(SQL["ready"], (queue, low, high, wanted)).fetchall()
    live = [row for row in rows if not (row[6] is not None and row[6] <= now and row[11] == 0)]
    if len(live) < len(rows):
        for row in rows:
            if row[6] is not None and row[6] <= now and row[11] == 0:
                _expire(transaction, queue, served.type, row, now)
    if not live:
        return []
    fence = transaction.next_fences(len(live))
    until = lease_now + request.lease_ms
    transaction.connection.execute(
        SQL["claim"],
        {
            "until": until, "first_fence": fence, "most": served.max_attempts, "now": now,
            "worker": request.worker, "lane": int(suspects),
            "rows": encode([row[0] for row in live]).decode(),
        },
    )  # fmt: skip
    transaction.move(queue, QUEUED, PROCESSING, len(live))
    transaction.count(queue, "claimed", len(live))
    return [
        _claimed(row, served, fence + index, now, until, request.lane)
        for index, row in enumerate(live)
    ]


def _claimed(
    row: Row, served: ServedType, fence: int, now: int, until: int, lane: Lane
) -> ClaimedJob:
    envelope = _read_envelope(row[3]) if row[3] else _NO_ENVELOPE
    job = Job(
        id=row[1],
        type=served.type,
        data=row[2],
        enqueued_at=row[4],
        not_before=row[7],
        expires_at=row[6],
        priority=row[5],
        max_attempts=row[8],
        unique_key=row[9],
        traceparent=envelope.traceparent,
        meta=envelope.given("meta"),
        extra=envelope.given("extra"),
        retried_from=envelope.retried_from,
    )
    return ClaimedJob(
        job=job,
        token=LeaseToken(row[1], fence, row[0]),
        attempt=row[10] + 1,
        claims=row[11] + 1,
        max_attempts=row[8] or served.max_attempts,
        give_backs=row[12],
        claimed_at=now,
        lease_until=until,
        lane=lane,
    )


def _expire(transaction: Transaction, queue: int, type: str, row: Row, now: int) -> None:
    give_up(
        transaction, (row[0], row[1], queue, type), now, REASON_EXPIRED, Cause.EXPIRED,
        "expires_at passed before the first claim",
    )  # fmt: skip


def give_up(
    transaction: Transaction,
    job: tuple[int, str, int, str],
    now: int,
    reason: str,
    cause: Cause,
    detail: str,
) -> None:
    """Make a queued job dead without a run: `job` is its row, id, queue and type."""
    row, job_id, queue, type = job
    step = Step(at=now, source=State.QUEUED, target=State.DEAD, cause=cause, detail=detail)
    transaction.connection.execute(
        SQL["give_up"],
        {
            "row": row, "now": now, "reason": reason, "said_by": "runtime", "detail": detail,
            "line": line(step),
        },
    )  # fmt: skip
    transaction.move(queue, QUEUED, DEAD)
    transaction.count(queue, "dead")
    said = {"type": type, "reason": reason, "by": "runtime", "detail": detail}
    transaction.announce(now, JOB_DEAD, job_id, 0, said)


def promote(transaction: Transaction, limit: int, now: int) -> int:
    """Make due jobs ready, in both waiting states."""
    total = 0
    for state in (SCHEDULED, RETRYING):
        rows = transaction.connection.execute(
            SQL["due"], {"state": state, "now": now, "limit": limit - total}
        ).fetchall()
        step = line(Step(at=now, source=STATE_OF[state], target=State.QUEUED, cause=Cause.DUE))
        transaction.each(SQL["make_ready"], [(step, row[0]) for row in rows])
        for row in rows:
            transaction.move(row[1], state, QUEUED)
        total += len(rows)
    return total


def reap(transaction: Transaction, limit: int, now: int, lease_now: int) -> ReapReport:
    """Take jobs whose lease has run out from whoever had them."""
    rows = transaction.connection.execute(
        SQL["lapsed"], {"now": lease_now, "limit": limit}
    ).fetchall()
    dead = sum(_take_back(transaction, row, now) for row in rows)
    if rows:
        transaction.connection.execute(SQL["forget_cancellations"])
    return ReapReport(rescued=len(rows) - dead, dead=dead)


def _take_back(transaction: Transaction, row: Row, now: int) -> bool:
    number, job_id, queue, type, fence, attempt, max_attempts, crashes, lane, worker, started = row
    alone = lane == 1
    crashes += alone
    cap = max_attempts or DEFAULT_MAX_ATTEMPTS
    dead: bool = alone and (crashes >= MAX_CRASHES or attempt >= cap)
    how = f"worker {worker} died with the job in its hands" + (", alone" if alone else "")
    step = Step(
        at=now, source=State.PROCESSING, target=State.DEAD if dead else State.QUEUED,
        cause=Cause.RESCUED, detail=how, started=started, attempt=attempt, fence=fence,
        worker=worker or "", error=f"WorkerDied: {how}",
    )  # fmt: skip
    fields = {
        "row": number, "now": now, "crashes": crashes, "give_back": 0 if alone else 1,
        "line": line(step), "failure": f"WorkerDied: {how}",
        "detail": f"{how}; {crashes} such deaths in attempt {attempt} of {cap}",
    }  # fmt: skip
    transaction.connection.execute(SQL["crash" if dead else "rescue"], fields)
    transaction.move(queue, PROCESSING, DEAD if dead else QUEUED)
    if dead:
        transaction.count(queue, "dead")
        said = {"reason": REASON_CRASHED, "by": "reaper", "detail": fields["detail"]}
        transaction.announce(now, JOB_DEAD, job_id, fence, {"type": type, **said})
    return dead
