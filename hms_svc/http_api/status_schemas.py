"""What queues, workers and the health of the service look like, for the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from hms_svc.domain.health import Level, TroubleKind
from hms_svc.domain.views import WorkerState


class Queue(BaseModel):
    """One queue, with the number of jobs in each state, and its running totals.

    `served`: a live worker claims of it; `quiet_workers` have its handler, and claim nothing.
    """

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
    quiet_workers: int
    intake: int
    counters: dict[str, int]
    paused_by: str | None = None
    pause_reason: str | None = None
    faults: list[str] | None = None


class QueueList(BaseModel):
    """Queues, at most 1000 of them, and how many types are left off."""

    queues: list[Queue]
    types_left_off: int


class Paused(BaseModel):
    """Whether a queue is claimed from, and takes jobs at the HTTP servers."""

    type: str
    paused: bool
    intake_paused: bool


class Wanted(BaseModel):
    """The state that an operator wants a worker to be in: who, why and since when."""

    state: WorkerState
    by: str
    reason: str
    since: datetime


class Worker(BaseModel):
    """One worker process; `type_slots` are the types that may take less than all slots.

    `state` is what it says of itself; `wanted`, what an operator has asked of it, or null, differs until it has taken that up.
    """

    id: str
    host: str
    pid: int
    slots: int
    busy: int
    hung: int
    jobs: list[str]
    last_seen_s: float
    types: list[str]
    type_slots: dict[str, int]
    started_at: datetime
    lane: str
    state: WorkerState
    wanted: Wanted | None


class WorkerAsked(BaseModel):
    """The worker that was asked, and the state that it is to be in."""

    worker: str
    wanted: WorkerState


class WorkerList(BaseModel):
    """The live workers."""

    workers: list[Worker]


class Capacity(BaseModel):
    """Bytes that an engine uses, and bytes at which it refuses what is new."""

    used: int
    limit: int


class Broker(BaseModel):
    """The broker, and how long it took to answer; `room` is null where no limit is known."""

    kind: str
    ok: bool
    round_trip_ms: float
    room: Capacity | None


class Database(BaseModel):
    """The database."""

    kind: str
    ok: bool


class Trouble(BaseModel):
    """One thing that is amiss, of a kind, in words, with since when."""

    kind: TroubleKind
    level: Level
    words: str
    since: datetime
    detail: str


class Health(BaseModel):
    """How the service is: the level of the worst trouble, and every one, the worst first."""

    level: Literal["well", "note", "degraded", "down"]
    troubles: list[Trouble]


class Status(BaseModel):
    """How the service stands."""

    broker: Broker
    database: Database
    queues: list[Queue]
    workers: list[Worker]
    totals: dict[str, int]
    types_left_off: int
    health: Health
