"""The script that decides on the runs of schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hms_svc.brokers.redis.calls import ScriptCall, binary
from hms_svc.brokers.redis.record import draft_of
from hms_svc.brokers.schedules import ON_TIME_MS
from hms_svc.domain.job import Job
from hms_svc.ports.schedules import DecidedRuns, DueRuns, SkippedRun


def decide_runs(due: Sequence[DueRuns]) -> ScriptCall[list[DecidedRuns]]:
    """Begin or skip each run that no call has decided yet."""
    given = [_given(each) for each in due]
    return ScriptCall("schedules", _decided, act="decide", on_time_ms=ON_TIME_MS, schedules=given)


def run_now(job: Job, now: int) -> ScriptCall[str]:
    """Begin a run that an operator asks for; return why not, empty if it begins."""
    job_id, record, position, named = _row(job, now)
    return ScriptCall(
        "schedules",
        bytes.decode,
        act="run",
        type=job.type,
        id=job_id,
        record=record,
        position=position,
        named=named,
    )


def pause(type: str, *, by: str, reason: str) -> ScriptCall[bool]:
    """Pause a schedule, or resume it if `by` is empty; return whether it is known."""
    return ScriptCall(
        "schedules", lambda why: not why, act="pause", type=type, by=by, reason=reason
    )


def _given(due: DueRuns) -> dict[str, object]:
    given = msgspec.structs.asdict(due)
    given["jobs"] = [(job.not_before, *_row(job, job.not_before or 0)) for job in due.jobs]
    return given


def _row(job: Job, now: int) -> tuple[str, msgspec.Raw, int, bool]:
    draft = draft_of(job, now)
    return job.id, binary(draft.rest), draft.position, draft.names_priority


def _decided(reply: list[Any]) -> list[DecidedRuns]:
    return [
        DecidedRuns(
            int(until),
            int(now),
            tuple(SkippedRun(int(tick), why.decode()) for tick, why in skipped),
        )
        for until, now, *skipped in reply
    ]
