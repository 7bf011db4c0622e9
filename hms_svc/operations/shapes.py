"""The stable JSON shapes of what operators read (fields may be added, never taken away)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from hms_svc.domain.health import Health
from hms_svc.domain.job import NAMES
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import (
    AttemptView,
    AuditRecord,
    FailureGroup,
    JobDetail,
    JobView,
    Move,
    ProgressView,
    QueueCounts,
    QueueView,
    WorkerRequest,
    WorkerView,
)
from hms_svc.operations.reads import Status
from hms_svc.ports.stores import Token

JsonObject: TypeAlias = dict[str, JsonValue]
COUNTED: Final = (
    "queued", "scheduled", "held", "processing", "retrying", "rejected", "dead", "cancelled",
    "completed",
)  # fmt: skip


def time_or_none(unix_ms: int | None) -> str | None:
    """Write a time, None where there is none."""
    return None if unix_ms is None else to_rfc3339(unix_ms)


def job_shape(view: JobView) -> JsonObject:
    """One job in a list."""
    return {
        "id": view.id,
        "type": view.type,
        "state": view.state.value,
        "attempt": view.attempt,
        "enqueued_at": to_rfc3339(view.enqueued_at),
        "reason": view.reason,
        "by": view.by,
        "detail": view.detail,
        "cause": view.cause,
    }


def failure_group_shape(group: FailureGroup) -> JsonObject:
    """Retrying, dead or rejected jobs of one cause."""
    return {
        "id": group.id,
        "state": group.state.value,
        "type": group.type,
        "reason": group.reason,
        "by": group.by,
        "error": group.error,
        "pattern": group.pattern,
        "count": group.count,
        "first_at": to_rfc3339(group.first_at),
        "last_at": to_rfc3339(group.last_at),
        "newest_detail": group.newest_detail,
        "newest_id": group.newest_id,
        "recent": list(group.recent),
        "next_at": time_or_none(group.next_at),
    }


def job_detail_shape(detail: JobDetail) -> JsonObject:
    """One job with all that is known of it."""
    view = detail.view
    shape: JsonObject = {
        **job_shape(view),
        "data": data_shape(view.data),
        "result": decode(detail.result) if detail.result else None,
        "case_id": view.case_id,
        "attempts": [_attempt_shape(attempt) for attempt in detail.attempts],
        "history": [_move_shape(move) for move in detail.history],
        "retried_from": detail.retried_from,
        "priority": view.priority,
        "max_attempts": view.max_attempts,
        "due_at": time_or_none(view.due_at),
        "started_at": time_or_none(view.started_at),
        "finished_at": time_or_none(view.finished_at),
        "worker": view.worker,
        "unique_key": view.unique_key,
        "suspect": view.suspect,
        "progress": [progress_shape(line) for line in detail.progress],
        "hold": _hold_shape(detail),
        **sent_shape(detail),
    }
    if detail.raw is not None:
        shape["raw"] = {
            "base64": base64.b64encode(detail.raw).decode(),
            "length": detail.raw_length,
            **_digest_shape(detail.raw_digest),
        }
    return shape


def sent_shape(detail: JobDetail) -> JsonObject:
    """Return what came with a job besides: its trace, its meta, and fields that nobody here knows.

    Empty where the record cannot be read. `meta.cloudevent` tells who sent the envelope that it was.
    """
    try:
        given = decode(detail.envelope)
    except msgspec.DecodeError:
        given = {}
    return {
        "traceparent": given.get("traceparent"),
        "tracestate": given.get("tracestate"),
        "meta": given.get("meta"),
        "unknown_fields": {name: item for name, item in given.items() if name not in NAMES},
    }


def sender_facts(sent: JsonObject) -> list[tuple[str, str]]:
    """Return who sent a job, in words, of its `sent_shape`: of an envelope of another agency all that it says."""
    meta = sent["meta"]
    event = meta.get("cloudevent") if isinstance(meta, dict) else None
    facts: list[tuple[str, JsonValue]] = []
    if isinstance(event, dict):
        further = event.get("extensions")
        facts = [
            ("sent by", event.get("source")), ("as event", event.get("id")), ("event type", event.get("type")),
            *((name, event.get(name)) for name in ("subject", "time", "datacontenttype", "dataschema")),
            *(further.items() if isinstance(further, dict) else ()),
        ]  # fmt: skip
    told = [(name, value) for name, value in facts if name != "traceparent"]
    told.append(("trace", sent["traceparent"]))
    return [(name, str(value)) for name, value in told if value not in (None, "")]


def _hold_shape(detail: JobDetail) -> JsonObject | None:
    """Return what a held job waits for; `id` names this hold, and no later one of the job."""
    if detail.hold is None or detail.view.state is not State.HELD:
        return None
    action, rule, digest = detail.hold
    return {"id": str(detail.view.fence), "action": action, "rule": rule, "digest": digest}


def data_shape(raw: bytes) -> JsonValue:
    """Return a payload, None where the bytes are no JSON (a malformed job)."""
    try:
        value: JsonValue = decode(raw)
    except msgspec.DecodeError:
        return None
    return value


def progress_shape(line: ProgressView) -> JsonObject:
    """One report from inside a handler."""
    return {
        "at": to_rfc3339(line.at),
        "share": line.share,
        "message": line.message,
        "log": line.log,
    }


def _digest_shape(digest: str) -> JsonObject:
    name, _, value = digest.rpartition(":")
    return {name or "sha256": value}


def counts_shape(counts: QueueCounts) -> JsonObject:
    """Return the number of jobs in each state."""
    return {name: getattr(counts, name) for name in COUNTED}


def queue_shape(queue: QueueView, now_ms: int) -> JsonObject:
    """One queue."""
    oldest = queue.oldest_queued_at
    shape: JsonObject = {
        "type": queue.type,
        **counts_shape(queue.counts),
        "oldest_age_s": None if oldest is None else round(max(now_ms - oldest, 0) / 1000, 3),
        "paused": queue.paused,
        "intake_paused": queue.intake_paused,
        "served": queue.served,
        "quiet_workers": queue.quiet_workers,
        "intake": queue.counts.intake,
        "counters": dict(queue.counters),
    }
    if queue.paused:
        shape |= {"paused_by": queue.paused_by, "pause_reason": queue.pause_reason}
    if queue.faults:
        shape["faults"] = list(queue.faults)
    return shape


def worker_shape(worker: WorkerView, now_ms: int) -> JsonObject:
    """One worker process; `wanted` is what it has been asked for and has not taken up, or is by now."""
    request = worker.request
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "slots": worker.slots,
        "busy": worker.busy,
        "hung": worker.hung,
        "jobs": list(worker.jobs),
        "last_seen_s": round(max(now_ms - worker.last_seen_at, 0) / 1000, 3),
        "types": list(worker.types),
        "type_slots": dict(worker.type_slots),
        "started_at": to_rfc3339(worker.started_at),
        "lane": worker.lane,
        "state": worker.state,
        "wanted": None if request is None else request_shape(request),
    }


def request_shape(request: WorkerRequest) -> JsonObject:
    """Return what an operator wants of a worker."""
    return {
        "state": request.state, "by": request.by, "reason": request.reason, "since": to_rfc3339(request.at),
    }  # fmt: skip


def status_shape(seen: Status, database_kind: str) -> dict[str, Any]:
    """Queues, workers, totals and health; `database_kind` is told where none is open."""
    database = seen.database
    return {
        "broker": {
            "kind": seen.broker.kind,
            "ok": seen.broker.ok,
            "round_trip_ms": round(seen.broker.round_trip_ms, 3),
            "room": msgspec.to_builtins(seen.broker.capacity),
        },
        "database": {
            "kind": database.kind if database else database_kind,
            "ok": database.ok if database else False,
        },
        "queues": [queue_shape(queue, seen.at) for queue in seen.queues],
        "workers": [worker_shape(worker, seen.at) for worker in seen.workers],
        "totals": dict(total_counts([queue.counts for queue in seen.queues])),
        "types_left_off": seen.types_left_off,
        "health": health_shape(seen.health),
    }


def health_shape(health: Health) -> JsonObject:
    """How the installation is: its troubles, the worst first."""
    return {
        "level": "well" if health.level is None else health.level.value,
        "troubles": [
            {
                "kind": trouble.kind.value,
                "level": trouble.level.value,
                "words": trouble.words,
                "since": to_rfc3339(trouble.since),
                "detail": trouble.detail,
            }
            for trouble in health.troubles
        ],
    }


def audit_shape(record: AuditRecord) -> JsonObject:
    """One audit row."""
    return {
        "number": record.number,
        "at": to_rfc3339(record.at),
        "actor": record.actor,
        "action": record.action,
        "subject": record.subject,
        "detail": decode(record.detail),
        "link": record.link,
        "digest": record.digest,
    }


def token_shape(token: Token) -> JsonObject:
    """One bearer token, without anything that it could be made from."""
    return {
        "id": token.id,
        "name": token.name,
        "scopes": list(token.scopes),
        "rate": token.rate,
        "created_at": to_rfc3339(token.created_at),
        "expires_at": time_or_none(token.expires_at),
        "revoked_at": time_or_none(token.revoked_at),
    }


def total_counts(counts: list[QueueCounts]) -> Mapping[str, int]:
    """Add the counts of all queues."""
    return {name: sum(getattr(each, name) for each in counts) for name in COUNTED}


def _attempt_shape(attempt: AttemptView) -> JsonObject:
    return {
        "attempt": attempt.attempt,
        "started_at": to_rfc3339(attempt.started_at),
        "ended_at": time_or_none(attempt.ended_at),
        "worker": attempt.worker,
        "error": attempt.error,
        "fence": attempt.fence,
        "traceback": attempt.traceback,
        "log": attempt.log,
    }


def _move_shape(move: Move) -> JsonObject:
    return {
        "at": to_rfc3339(move.at),
        "from": move.source.value if move.source else None,
        "to": move.target.value,
        "cause": move.cause,
        "detail": move.detail,
    }
