"""Converts rows of the queue file to the operator's views."""

from __future__ import annotations

import sqlite3

from hms_svc.brokers.codes import DISCARDED, LIMITED, RETRYING, SCHEDULED, STATE_OF
from hms_svc.brokers.envelope import NO_ENVELOPE, read_envelope, wire_form
from hms_svc.brokers.history import (
    attempts_of,
    history_of,
    read_history,
)
from hms_svc.domain.causes import GROUPED
from hms_svc.domain.strict_json import decode
from hms_svc.domain.verdict import DENIED
from hms_svc.domain.views import JobDetail, JobView, ProgressView


def job_view(row: sqlite3.Row) -> JobView:
    """Return the view of the job in a row."""
    return JobView(
        id=row["id"],
        type=row["type"],
        state=STATE_OF[row["state"]],
        attempt=row["attempt"],
        enqueued_at=row["enqueued_at"],
        reason=row["reason"] or "",
        by=row["decided_by"] or "",
        detail=row["detail"] or "",
        data=row["data"],
        priority=row["priority"],
        max_attempts=row["max_attempts"],
        due_at=row["position"] if row["state"] in (SCHEDULED, RETRYING) else None,
        finished_at=row["finished_at"],
        started_at=row["started_at"],
        worker=row["worker"] or "",
        fence=row["fence"],
        suspect=bool(row["suspect"] % LIMITED),
        case_id=row["case_id"],
        failure=row["failure"] or "",
        unique_key=row["unique_key"],
        cause=(row["cause"] or "") if STATE_OF[row["state"]] in GROUPED else "",
        approvals=len(set(row["approved"].split(",")) - {DENIED}) if row["approved"] else 0,
        batch=row["member_of"],
    )


def job_detail(row: sqlite3.Row, progress: list[sqlite3.Row]) -> JobDetail | None:
    """Return the details of a job; None for a discarded one."""
    if row["state"] == DISCARDED:
        return None
    view = job_view(row)
    steps = read_history(row["history"])
    envelope = read_envelope(row["envelope"]) if row["envelope"] else NO_ENVELOPE
    times = {"not_before": row["not_before"], "expires_at": row["expires_at"]}
    hold = decode(row["hold"]) if row["hold"] else None
    return JobDetail(
        view=view,
        result=row["result"],
        attempts=tuple(attempts_of(steps)),
        history=tuple(history_of(view, steps)),
        progress=tuple(progress_view(line) for line in progress),
        envelope=wire_form(view, times, envelope),
        hold=tuple(hold) if hold else None,
        retried_from=envelope.retried_from,
        raw=row["raw"],
        raw_length=row["raw_length"] or 0,
        raw_digest=row["raw_digest"] or "",
    )


def progress_view(row: sqlite3.Row) -> ProgressView:
    """Return the view of a progress line."""
    return ProgressView(
        number=row["number"],
        at=row["at"],
        share=row["share"],
        message=row["message"],
        log=bool(row["log"]),
    )
