"""Leases jobs, and makes due ones ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hms_svc.brokers.codes import (
    DEAD,
    LOWEST_LIMITED,
    LOWEST_RANK,
    LOWEST_SUSPECT,
    PROCESSING,
    QUEUED,
    RETRYING,
    SCHEDULED,
    STATE_OF,
)
from hms_svc.brokers.envelope import NO_ENVELOPE, read_envelope
from hms_svc.brokers.history import Step, line
from hms_svc.brokers.limits import EXPIRED_AT_ONCE
from hms_svc.brokers.sqlite import uniqueness
from hms_svc.brokers.sqlite.transaction import SQL, FileTransaction
from hms_svc.brokers.sqlite.type_limits import SQL as LIMITS
from hms_svc.brokers.sqlite.type_limits import (
    note_starts_in_queue,
    room_in_queue,
)
from hms_svc.brokers.type_limits import read_limits
from hms_svc.brokers.unreported_ends import (
    EXPIRED,
    is_expired,
)
from hms_svc.domain.causes import cause_of
from hms_svc.domain.event import JOB_DEAD
from hms_svc.domain.job import ClaimedJob, Job, Lane, LeaseToken
from hms_svc.domain.job_limits import Limit
from hms_svc.domain.lifecycle import (
    REASON_EXPIRED,
    State,
    Trigger,
)
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import ClaimRequest, ServedType
from hms_svc.ports.key_claims import KeyClaim

Row = tuple[Any, ...]


def claim(
    transaction: FileTransaction,
    request: ClaimRequest,
    types: Sequence[ServedType],
    now: int,
    lease_now: int,
) -> tuple[list[ClaimedJob], int | None]:
    """Claim jobs of the requested types, in the order of `types`.

    Return them, and the ms until a limit of a type that lets no more begin may let some.
    """
    paused, limits = set(), {}
    for queue, paused_by, text in transaction.connection.execute(LIMITS["limits_of_queues"]):
        if paused_by is not None:
            paused.add(queue)
        elif text is not None:
            limits[queue] = read_limits(text)
    claimed: list[ClaimedJob] = []
    ahead = []
    for served in types:
        left = request.limit - len(claimed)
        if left <= 0:
            break
        wanted = left if served.capacity is None else min(left, served.capacity)
        queue = transaction.queue(served.type)
        if queue in limits:
            found, after = _claim_limited(
                transaction, queue, limits[queue], served, request, wanted, now, lease_now
            )
            ahead += after
            claimed += found
        elif wanted and queue not in paused:
            claimed += _claim_from(transaction, queue, served, request, wanted, now, lease_now)
    return claimed, min(ahead, default=None)


def _claim_limited(
    transaction: FileTransaction,
    queue: int,
    limits: Sequence[Limit],
    served: ServedType,
    request: ClaimRequest,
    wanted: int,
    now: int,
    lease_now: int,
) -> tuple[list[ClaimedJob], list[int]]:
    """Claim what the limits of a type let begin; return also the ms until more may, if none may any more."""
    room, after = room_in_queue(transaction, queue, limits, lease_now)
    most = max(0, min(wanted, room))
    claimed = _claim_from(transaction, queue, served, request, most, now, lease_now)
    if claimed:
        note_starts_in_queue(transaction, queue, limits, len(claimed), lease_now)
        _, after = room_in_queue(transaction, queue, limits, lease_now)
    return claimed, [after] if room <= len(claimed) else []


def _claim_from(
    transaction: FileTransaction,
    queue: int,
    served: ServedType,
    request: ClaimRequest,
    wanted: int,
    now: int,
    lease_now: int,
) -> list[ClaimedJob]:
    """Claim from one queue, repeatedly while some of the next jobs are expired."""
    claimed: list[ClaimedJob] = []
    buried = 0
    while len(claimed) < wanted and buried < EXPIRED_AT_ONCE:
        missing = wanted - len(claimed)
        rows = _next_rows(transaction, queue, request.lane, missing)
        live = []
        for row in rows:
            expires_at, claims = row[6], row[11]
            if expires_at is not None and is_expired(expires_at, claims, now):
                _expire(transaction, queue, served.type, row, now)
            else:
                live.append(row)
        if live:
            claimed += _lease(transaction, queue, served, request, live, now, lease_now)
        if len(rows) < missing:
            break
        buried += len(rows) - len(live)
    return claimed


def _next_rows(transaction: FileTransaction, queue: int, lane: Lane, count: int) -> list[Row]:
    suspects = lane is Lane.SUSPECT
    low, high = (LOWEST_SUSPECT, LOWEST_LIMITED) if suspects else (LOWEST_RANK, LOWEST_SUSPECT)
    return transaction.connection.execute(SQL["ready"], (queue, low, high, count)).fetchall()


def _lease(
    transaction: FileTransaction,
    queue: int,
    served: ServedType,
    request: ClaimRequest,
    live: list[Row],
    now: int,
    lease_now: int,
) -> list[ClaimedJob]:
    fence = transaction.next_fences(len(live))
    until = lease_now + request.lease_ms
    transaction.connection.execute(
        SQL["claim"],
        {
            "until": until,
            "first_fence": fence,
            "most": served.max_attempts,
            "now": now,
            "worker": request.worker,
            "lane": int(request.lane is Lane.SUSPECT),
            "rows": encode([row[0] for row in live]).decode(),
        },
    )
    transaction.move(queue, QUEUED, PROCESSING, len(live))
    transaction.count(queue, "claimed", len(live))
    return [
        _claimed(row, served, fence + index, now, until, request.lane)
        for index, row in enumerate(live)
    ]


def _claimed(
    row: Row, served: ServedType, fence: int, now: int, until: int, lane: Lane
) -> ClaimedJob:
    has_envelope = bool(row[3])
    envelope = read_envelope(row[3]) if has_envelope else NO_ENVELOPE
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
        tracestate=envelope.tracestate,
        meta=envelope.given("meta") if has_envelope else None,
        extra=envelope.given("extra") if has_envelope else None,
        retried_from=envelope.retried_from,
        version=envelope.version,
        batch=row[14],
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
        approvals=tuple(row[13].split(",")) if row[13] else (),
    )


def take_keys(
    transaction: FileTransaction, claims: Sequence[KeyClaim], now: int
) -> list[str | None]:
    """Assign claimed jobs their unique keys; return the id of the job that holds each."""
    return [_take_key(transaction, claim, now) for claim in claims]


def _take_key(transaction: FileTransaction, wanted: KeyClaim, now: int) -> str | None:
    execute, token = transaction.connection.execute, wanted.claimed.token
    owned = {"row": token.locator, "fence": token.fence}
    found = execute(SQL["key_of"], {**owned, "id": token.job_id}).fetchone()
    if found is None:
        return None
    if found[0] is not None:
        return token.job_id
    queue = transaction.queue(wanted.claimed.job.type)
    key, rule = wanted.unique_key, wanted.rule
    # A key that is free again by the claim is not taken, nor kept from this job by one that waits.
    taken = rule if rule.until == "ended" else msgspec.structs.replace(rule, until="window")
    holder = uniqueness.holder_of(transaction, queue, key, taken, token.job_id, now)
    if holder is not None:
        return holder.id
    uniqueness.begin_window(transaction, queue, key, rule, token.job_id, now)
    if rule.until == "ended":
        execute(SQL["take_key"], {**owned, "key": key})
    return token.job_id


def _expire(transaction: FileTransaction, queue: int, type: str, row: Row, now: int) -> None:
    end_without_run(
        transaction,
        (row[0], row[1], queue, type),
        now,
        REASON_EXPIRED,
        Trigger.EXPIRED,
        EXPIRED,
    )


def end_without_run(
    transaction: FileTransaction,
    job: tuple[int, str, int, str],
    now: int,
    reason: str,
    trigger: Trigger,
    detail: str,
) -> None:
    """End a queued job as dead without a run; `job` is its row, id, queue and type."""
    row, job_id, queue, type = job
    step = Step(at=now, source=State.QUEUED, target=State.DEAD, trigger=trigger, detail=detail)
    group = cause_of(State.DEAD, type, reason=reason, by="runtime", detail=detail, failure="")
    transaction.connection.execute(
        SQL["give_up"],
        {
            "row": row,
            "now": now,
            "reason": reason,
            "decided_by": "runtime",
            "detail": detail,
            "line": line(step),
            "cause": transaction.causes.file_under(group),
        },
    )
    transaction.move(queue, QUEUED, DEAD)
    transaction.count(queue, "dead")
    data = {"type": type, "reason": reason, "by": "runtime", "detail": detail}
    transaction.announce(now, JOB_DEAD, job_id, 0, data)


def promote(transaction: FileTransaction, limit: int, now: int) -> int:
    """Make due jobs ready, scheduled and retrying ones."""
    total = 0
    for state in (SCHEDULED, RETRYING):
        rows = transaction.connection.execute(
            SQL["due"], {"state": state, "now": now, "limit": limit - total}
        ).fetchall()
        step = line(Step(at=now, source=STATE_OF[state], target=State.QUEUED, trigger=Trigger.DUE))
        statement = "try_again" if state == RETRYING else "make_ready"
        transaction.each(SQL[statement], [(step, row[0]) for row in rows])
        for row in rows:
            transaction.move(row[1], state, QUEUED)
        total += len(rows)
    return total
