"""What answers look like, for the OpenAPI document. The shapes themselves are operations' part."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from hms_svc.domain.case import CaseStatus
from hms_svc.domain.lifecycle import State


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] = []


class Accepted(BaseModel):
    """A job that is durable. `exists` where it was there before, the same in type and data."""

    id: str
    type: str
    state: State
    exists: bool = False


class Job(BaseModel):
    """A job in a list."""

    id: str
    type: str
    state: State
    attempt: int
    enqueued_at: datetime
    reason: str
    by: str
    detail: str


class JobPage(BaseModel):
    """A page of jobs, and what continues it."""

    jobs: list[Job]
    cursor: str | None


class Attempt(BaseModel):
    """One claim of a job."""

    attempt: int
    started_at: datetime
    ended_at: datetime | None
    worker: str
    error: str


class Hold(BaseModel):
    """What a held job waits for; `id` is what If-Match takes to approve or deny just this."""

    id: str
    action: str
    rule: str
    digest: str


class JobDetail(Job):
    """All that is known of a job."""

    data: Any
    result: Any
    case_id: str | None
    attempts: list[Attempt]
    history: list[dict[str, Any]]
    retried_from: str | None
    progress: list[dict[str, Any]]
    archived: bool
    hold: Hold | None = None


class Why(BaseModel):
    """One plain sentence."""

    id: str
    why: str


class Outcome(BaseModel):
    """What an act did; `batch` names it for undo. With `dry_run` what it `would` do instead.

    `seen` then names the jobs and their holds, for approving or denying them.
    """

    batch: str = ""
    done: int = 0
    failed: int = 0
    failures: list[dict[str, str]] = []
    left: int = 0
    would: str = ""
    jobs: int = 0
    groups: list[dict[str, Any]] = []
    cannot: int = 0
    seen: str = ""


class Queue(BaseModel):
    """One queue, with the number of jobs in each state."""

    type: str
    queued: int
    scheduled: int
    held: int
    processing: int
    retrying: int
    rejected: int
    dead: int
    cancelled: int
    completed: int
    oldest_age_s: float | None
    paused: bool
    intake_paused: bool
    served: bool


class Queues(BaseModel):
    """Queues, at most 1000 of them, and how many types are left off."""

    queues: list[Queue]
    types_left_off: int


class Paused(BaseModel):
    """Whether a queue is claimed from, and takes jobs at the doors."""

    type: str
    paused: bool
    intake_paused: bool


class Worker(BaseModel):
    """One worker process."""

    id: str
    host: str
    pid: int
    slots: int
    busy: int
    jobs: list[str]
    last_seen_s: float


class Workers(BaseModel):
    """The live workers."""

    workers: list[Worker]


class Engine(BaseModel):
    """Broker or database."""

    kind: str
    ok: bool


class Status(BaseModel):
    """How the service stands."""

    broker: Engine
    database: Engine
    queues: list[Queue]
    workers: list[Worker]
    totals: dict[str, int]
    types_left_off: int


class Failures(BaseModel):
    """Dead and rejected jobs by cause."""

    failures: list[dict[str, Any]]


class Schedule(BaseModel):
    """What one type is run by."""

    type: str
    cron: str
    words: str
    next_at: datetime
    next_job: str
    last_at: datetime
    last_job: str


class Schedules(BaseModel):
    """All schedules."""

    schedules: list[Schedule]


class Ran(BaseModel):
    """How many jobs a schedule was made to hand in."""

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


class AuditPage(BaseModel):
    """A page of the audit log, and what continues it."""

    audit: list[dict[str, Any]]
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
