"""What a test reads: jobs, the outcomes of their runs, and the cases and events that they left."""

from __future__ import annotations

from typing import Any

import msgspec

from hms_svc.domain.case import Case
from hms_svc.domain.event import Event
from hms_svc.domain.job import Job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import decode
from hms_svc.domain.views import JobDetail
from hms_svc.runtime.inline_worker import EndedRun


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One job as the broker has it: `state` is one of the nine states, such as "queued".

    `due_in` are the seconds until a scheduled or retrying job is due, None for others. `attempt` is
    the number of attempts of its run so far.
    """

    id: str
    type: str
    data: Any
    state: str
    reason: str = ""
    by: str = ""
    detail: str = ""
    attempt: int = 0
    result: Any = None
    priority: int = 0
    unique_key: str | None = None
    due_in: float | None = None


class CaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One case that a job has opened; `data` is what the handler gave."""

    id: str
    job_id: str
    key: str
    kind: str
    status: str
    data: Any
    lat: float | None = None
    lon: float | None = None
    urgency: int | None = None


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the bus; `subject` is the id of the job, or of the case, that it is about."""

    type: str
    subject: str
    data: Any


class EnqueuedJob(msgspec.Struct, frozen=True, kw_only=True):
    """One job that a run has enqueued; `delay` are the seconds until it is due, 0 if it is ready."""

    id: str
    type: str
    data: Any
    delay: float = 0.0
    priority: int | None = None
    unique_key: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job by one run.

    `state`, `reason`, `by` and `detail` are those of the job after the run, as `hms-svc jobs show` has
    them. `error` is the exception itself that ended the run, None if none did. `log` is what the run logged and printed.
    `enqueued` are the jobs that the run enqueued, `cases` those that the job has opened so far, and `events` those
    that were published with its end. `due_in` are the seconds until the next attempt. `killed`: the
    worker was killed before the job was settled.
    """

    id: str
    type: str
    state: str
    reason: str = ""
    by: str = ""
    detail: str = ""
    attempt: int = 0
    result: Any = None
    error: BaseException | None = None
    log: str = ""
    due_in: float | None = None
    enqueued: tuple[EnqueuedJob, ...] = ()
    cases: tuple[CaseRecord, ...] = ()
    events: tuple[EventRecord, ...] = ()
    killed: bool = False

    def get(self) -> Any:
        """Return the result of a job that is completed; raise its error, or AssertionError, for another."""
        if self.state == State.COMPLETED:
            return self.result
        if self.error is not None:
            raise self.error
        raise AssertionError(self.described())

    def described(self) -> str:
        """Return one line on the outcome, for messages of assertions."""
        why = ", ".join(part for part in (self.reason, self.detail) if part)
        return f"job {self.id} ({self.type}) is {self.state}" + (f": {why}" if why else "")


def job_record(detail: JobDetail, now_ms: int) -> JobRecord:
    """Return the record of one job."""
    view = detail.view
    return JobRecord(
        id=view.id,
        type=view.type,
        data=decode(view.data),
        state=view.state.value,
        reason=view.reason,
        by=view.by,
        detail=view.detail,
        attempt=view.attempt,
        result=None if detail.result is None else decode(detail.result),
        priority=view.priority,
        unique_key=view.unique_key,
        due_in=None if view.due_at is None else (view.due_at - now_ms) / 1000,
    )


def case_record(case: Case) -> CaseRecord:
    """Return the record of one case."""
    return CaseRecord(
        id=case.id,
        job_id=case.job_id,
        key=case.key,
        kind=case.kind,
        status=case.status.value,
        data=decode(case.data),
        lat=case.lat,
        lon=case.lon,
        urgency=case.urgency,
    )


def event_record(event: Event) -> EventRecord:
    """Return the record of one event."""
    return EventRecord(type=event.type, subject=event.subject, data=event.payload())


def outcome_of(ended: EndedRun, cases: tuple[CaseRecord, ...], now_ms: int) -> Outcome:
    """Return the outcome of a run; `cases` are those that its job has opened."""
    done = ended.disposition
    return Outcome(
        id=ended.job_id,
        type=ended.type,
        state=State.QUEUED.value if ended.killed else done.state.value,
        reason="" if ended.killed else done.reason,
        by="" if ended.killed else done.by,
        detail="" if ended.killed else done.detail,
        attempt=ended.attempt,
        result=None if done.result is None or ended.killed else decode(done.result),
        error=ended.error,
        log=done.log,
        due_in=done.delay_ms / 1000 if done.delay_ms and not ended.killed else None,
        enqueued=tuple(_enqueued(job, now_ms) for job in ended.jobs),
        cases=cases,
        events=tuple(event_record(event) for event in ended.events),
        killed=ended.killed,
    )


def outcome_without_run(record: JobRecord) -> Outcome:
    """Return the outcome of a job that has not run: it waits, or was refused when it was enqueued."""
    return Outcome(
        id=record.id,
        type=record.type,
        state=record.state,
        reason=record.reason,
        by=record.by,
        detail=record.detail,
        attempt=record.attempt,
        due_in=record.due_in,
    )


def _enqueued(job: Job, now_ms: int) -> EnqueuedJob:
    return EnqueuedJob(
        id=job.id,
        type=job.type,
        data=decode(job.data),
        delay=max(0.0, ((job.not_before or 0) - now_ms) / 1000),
        priority=job.priority,
        unique_key=job.unique_key,
    )
