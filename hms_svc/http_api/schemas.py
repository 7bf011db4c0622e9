"""What answers look like, for the OpenAPI document. The shapes themselves are operations' part."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field

from hms_svc.domain.case import CaseStatus
from hms_svc.domain.lifecycle import State
from hms_svc.http_api.status_schemas import Paused, QueueList, Status, WorkerAsked, WorkerList


class FieldFault(BaseModel):
    """What is wrong with one field; of several jobs also the place of its job, from 0."""

    field: str
    detail: str
    place: int | None = None


class Problem(BaseModel):
    """Problem details (RFC 9457); `errors` has an entry for each field at fault."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldFault] | None = None


class Accepted(BaseModel):
    """A job that is durable. `exists` where it was there before, the same in type and data."""

    id: str
    type: str
    state: State
    exists: bool


class Job(BaseModel):
    """A job in a list; `cause` names the failure group of one that is dead, rejected or retrying."""

    id: str
    type: str
    state: State
    attempt: int
    enqueued_at: datetime
    reason: str
    by: str
    detail: str
    cause: str


class JobPage(BaseModel):
    """A page of jobs, and what continues it."""

    jobs: list[Job]
    cursor: str | None


class Attempt(BaseModel):
    """One claim of a job; `error` is class and message, `log` what the handler printed."""

    attempt: int
    started_at: datetime
    ended_at: datetime | None
    worker: str
    error: str
    fence: int
    traceback: str
    log: str


class Move(BaseModel):
    """One step in the history of a job; the first one is `from` nothing."""

    at: datetime
    source: State | None = Field(alias="from")
    to: State
    cause: str
    detail: str


class Progress(BaseModel):
    """One report from inside a handler; with `log` a line of its log."""

    at: datetime
    share: float | None
    message: str
    log: bool


class Hold(BaseModel):
    """What a held job waits for; `id` is what If-Match takes to approve or deny just this."""

    id: str
    action: str
    rule: str
    digest: str


class Raw(BaseModel):
    """The first bytes, in Base64, of what was pushed and is no job, with the digest of the whole."""

    base64: str
    length: int
    sha256: str | None = None
    sha256_of_beginning: str | None = None


class JobDetail(Job):
    """All that is known of a job."""

    data: Any
    result: Any
    case_id: str | None
    attempts: list[Attempt]
    history: list[Move]
    retried_from: str | None
    priority: int
    max_attempts: int | None
    due_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    worker: str
    unique_key: str | None
    suspect: bool
    progress: list[Progress]
    hold: Hold | None
    traceparent: str | None
    tracestate: str | None
    meta: dict[str, Any] | None
    unknown_fields: dict[str, Any]
    raw: Raw | None = None
    archived: bool


class Explanation(BaseModel):
    """One plain sentence."""

    id: str
    why: str


class FailedAct(BaseModel):
    """A job to which an act was not done, and why."""

    id: str
    why: str


class Outcome(BaseModel):
    """What an act did; `batch` names it for undo, `left` counts the jobs that it did not come to."""

    batch: str
    done: int
    failed: int
    failures: list[FailedAct]
    left: int


class PlannedGroup(BaseModel):
    """Jobs of one kind that an act would change; `cause` is that of a failed job, else empty."""

    type: str
    state: State
    reason: str
    rule: str
    cause: str
    count: int


class Plan(BaseModel):
    """What an act would do, as its dry run tells.

    `seen` names the jobs and their holds, for approving or denying them; `cannot` counts the
    jobs whose state does not allow the act.
    """

    would: str
    jobs: int
    groups: list[PlannedGroup]
    cannot: int
    seen: str


class FailureGroup(BaseModel):
    """Jobs that stand dead or rejected for one cause, or are retrying after failures of it.

    `recent` counts them by five minutes; of retrying ones it counts their failures, and
    `next_at` is when the first of them is due.
    """

    id: str
    state: State
    type: str
    reason: str
    by: str
    error: str
    pattern: str
    count: int
    first_at: datetime
    last_at: datetime
    newest_detail: str
    newest_id: str
    recent: list[int]
    next_at: datetime | None


class FailureList(BaseModel):
    """Retrying, dead and rejected jobs by cause."""

    failures: list[FailureGroup]


class Schedule(BaseModel):
    """What one type is run by."""

    type: str
    cron: str
    words: str
    next_at: datetime
    next_job: str
    last_at: datetime
    last_job: str


class ScheduleList(BaseModel):
    """All schedules."""

    schedules: list[Schedule]


class Ran(BaseModel):
    """How many jobs a schedule was made to submit."""

    type: str
    enqueued: int


class Case(BaseModel):
    """One case; the place is in WGS 84 degrees."""

    id: str
    job_id: str
    kind: str
    lat: float | None
    lon: float | None
    user_id: str | None
    urgency: int | None = Field(ge=0, le=100)
    status: CaseStatus
    opened_at: datetime
    closed_at: datetime | None
    data: Any


class CasePage(BaseModel):
    """A page of cases, and what continues it."""

    cases: list[Case]
    cursor: str | None


class AuditRecord(BaseModel):
    """One act: who did what to which subject, and its link of the hash chain once that is sealed."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Any
    link: int | None
    digest: str


class AuditPage(BaseModel):
    """A page of the audit log, and what continues it."""

    audit: list[AuditRecord]
    cursor: str | None


class Taken(BaseModel):
    """A job that an envelope became; without a state where it `exists` since long."""

    id: str
    type: str
    state: State | None = None
    exists: bool


class Received(BaseModel):
    """Jobs that envelopes became."""

    jobs: list[Taken]


ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    Problem, Accepted, JobPage, JobDetail, Explanation, Outcome, Plan, QueueList, Paused, WorkerAsked, WorkerList, Status,
    FailureList, ScheduleList, Ran, Case, CasePage, AuditPage, Received,
)  # fmt: skip
"""The whole answers; what stands in them comes with them."""
