"""Rows of the queue file as the views that operators read."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from hms_svc.brokers.sqlite.codes import DISCARDED, RETRYING, SCHEDULED, STATE_OF
from hms_svc.brokers.sqlite.enqueueing import Envelope
from hms_svc.brokers.sqlite.trail import (
    Step,
    attempts_of,
    claimed_move,
    history_of,
    read_trail,
)
from hms_svc.domain.lifecycle import MOVES, TERMINAL, Cause, State
from hms_svc.domain.strict_json import decode, encode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import JobDetail, JobView, Move, ProgressView

_read_envelope: Final = msgspec.json.Decoder(Envelope).decode


def job_view(row: sqlite3.Row) -> JobView:
    """Make the view of a job of one row."""
    return JobView(
        id=row["id"],
        type=row["type"],
        state=STATE_OF[row["state"]],
        attempt=row["attempt"],
        enqueued_at=row["enqueued_at"],
        reason=row["reason"] or "",
        by=row["said_by"] or "",
        detail=row["detail"] or "",
        data=row["data"],
        priority=row["priority"],
        max_attempts=row["max_attempts"],
        due_at=row["position"] if row["state"] in (SCHEDULED, RETRYING) else None,
        finished_at=row["finished_at"],
        started_at=row["started_at"],
        worker=row["worker"] or "",
        fence=row["fence"],
        suspect=bool(row["suspect"]),
        case_id=row["case_id"],
        failure=row["failure"] or "",
        unique_key=row["unique_key"],
    )


def job_detail(row: sqlite3.Row, progress: list[sqlite3.Row]) -> JobDetail | None:
    """Make all that is known of a job; None for one that is discarded."""
    if row["state"] == DISCARDED:
        return None
    view = job_view(row)
    steps = read_trail(row["trail"])
    envelope = _read_envelope(row["envelope"]) if row["envelope"] else Envelope()
    hold = decode(row["hold"]) if row["hold"] else None
    return JobDetail(
        view=view,
        result=row["result"],
        attempts=tuple(attempts_of(steps)),
        history=tuple(_history(view, steps)),
        progress=tuple(progress_view(line) for line in progress),
        envelope=encode(_wire(view, row, envelope)),
        hold=tuple(hold) if hold else None,
        retried_from=envelope.retried_from,
        raw=row["raw"],
        raw_length=row["raw_length"] or 0,
        raw_digest=row["raw_digest"] or "",
    )


def progress_view(row: sqlite3.Row) -> ProgressView:
    """Make the view of one progress line."""
    return ProgressView(
        number=row["number"], at=row["at"], share=row["share"], message=row["message"]
    )


def _history(view: JobView, steps: list[Step]) -> list[Move]:
    history = history_of(_first_move(view, steps), steps)
    if view.state is State.PROCESSING and view.started_at:
        history.append(claimed_move(view.started_at, view.worker))
    return history


def _first_move(view: JobView, steps: list[Step]) -> Move:
    """Tell where the job began: where its first step left from, or where it still is."""
    began = steps[0].source if steps else view.state
    target = began if began in MOVES[None] else State.QUEUED
    cause = Cause.REFUSED if target in TERMINAL else Cause.ENQUEUED
    return Move(at=view.enqueued_at, source=None, target=target, cause=cause)


def _wire(view: JobView, row: sqlite3.Row, envelope: Envelope) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": view.id,
        "type": view.type,
        "data": msgspec.Raw(view.data),
        "enqueued_at": to_rfc3339(view.enqueued_at),
    }
    for name in ("not_before", "expires_at"):
        if row[name] is not None:
            fields[name] = to_rfc3339(row[name])
    optional = {
        "priority": view.priority or None,
        "max_attempts": view.max_attempts,
        "unique_key": view.unique_key,
        "traceparent": envelope.traceparent,
        "retried_from": envelope.retried_from,
    }
    fields |= {name: value for name, value in optional.items() if value is not None}
    if envelope.given("meta"):
        fields["meta"] = envelope.meta
    if extra := envelope.given("extra"):
        fields |= decode(extra)
    return fields
