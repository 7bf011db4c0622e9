"""Answers about queues, workers, and the health of the service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from hms_svc.domain.health import Health, Level, Trouble, TroubleKind
from hms_svc.domain.job_limits import Limit
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import QueueCounts, QueueView, WorkerRequest, WorkerState, WorkerView
from hms_svc.operations.answers.times import Time, age_seconds
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.inspection import BrokerHealth, Capacity

if TYPE_CHECKING:
    from hms_svc.operations.reads import Status
    from hms_svc.operations.worker_actions import WorkerPlan

HealthLevel: TypeAlias = Literal["well", "note", "degraded", "down"]
_LEVELS: Final[Mapping[Level | None, HealthLevel]] = {
    None: "well",
    Level.NOTE: "note",
    Level.DEGRADED: "degraded",
    Level.DOWN: "down",
}
COUNTED: Final = tuple(name for name in QueueCounts.__struct_fields__ if name != "intake")
"""The states whose jobs are counted, in the order in which they are shown."""


class LimitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of a whole type: at most so many jobs run at the same time, or begin within so many seconds."""

    jobs: int
    within_s: float | None

    @classmethod
    def of(cls, limit: Limit) -> LimitAnswer:
        """Return the answer for a limit."""
        return LimitAnswer(
            jobs=limit.most, within_s=limit.window_ms / 1000 if limit.window_ms else None
        )


class QueueAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: the number of jobs in each state, and totals since it exists (`counters`).

    `served` is true if a live worker claims its jobs. `quiet_workers` counts the workers that have its
    handler but do not claim. `limits` are those of the whole type; `limited` queued jobs wait for a
    limit with a key.
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
    paused_by: str | UnsetType = UNSET
    pause_reason: str | UnsetType = UNSET
    faults: tuple[str, ...] | UnsetType = UNSET
    limits: tuple[LimitAnswer, ...] | UnsetType = UNSET
    limited: int | UnsetType = UNSET

    @classmethod
    def of(cls, queue: QueueView, now_ms: int) -> QueueAnswer:
        """Return the answer for a queue."""
        return QueueAnswer(**queue_fields(queue, now_ms))


def queue_fields(queue: QueueView, now_ms: int) -> dict[str, Any]:
    """Return the fields of the answer for a queue."""
    oldest = queue.oldest_queued_at
    return {
        **msgspec.structs.asdict(queue.counts),
        "type": queue.type,
        "oldest_age_s": None if oldest is None else age_seconds(oldest, now_ms),
        "paused": queue.paused,
        "intake_paused": queue.intake_paused,
        "served": queue.served,
        "quiet_workers": queue.quiet_workers,
        "counters": queue.counters,
        "paused_by": queue.paused_by if queue.paused else UNSET,
        "pause_reason": queue.pause_reason if queue.paused else UNSET,
        "faults": queue.faults or UNSET,
        "limits": tuple(map(LimitAnswer.of, queue.limits)) or UNSET,
        "limited": queue.limited or UNSET,
    }


class QueueList(msgspec.Struct, frozen=True):
    """At most 1000 queues, and the number of types that the list leaves out."""

    queues: tuple[QueueAnswer, ...]
    types_left_off: int


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a queue is paused, and whether it accepts new jobs over HTTP and in envelopes."""

    type: str
    paused: bool
    intake_paused: bool


class QueueExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a queue makes no progress, in one sentence."""

    type: str
    why: str


class WorkerRequestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The state that an operator requested for a worker: by whom, why and since when."""

    state: WorkerState
    by: str
    reason: str
    since: Time

    @classmethod
    def of(cls, request: WorkerRequest) -> Self:
        """Return the answer for a request."""
        return cls(
            state=request.state, by=request.by, reason=request.reason, since=to_rfc3339(request.at)
        )


class WorkerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process. `type_slots` has the types that may use only some of its slots.

    `state` is what the worker reports. `wanted` is the state that an operator requested, or null; the two
    differ until the worker has changed its state.
    """

    id: str
    host: str
    pid: int
    slots: int
    busy: int
    hung: int
    jobs: tuple[str, ...]
    last_seen_s: float
    types: tuple[str, ...]
    type_slots: dict[str, int]
    started_at: Time
    lane: str
    state: WorkerState
    wanted: WorkerRequestAnswer | None

    @classmethod
    def of(cls, worker: WorkerView, now_ms: int) -> Self:
        """Return the answer for a worker."""
        return cls(
            id=worker.id,
            host=worker.host,
            pid=worker.pid,
            slots=worker.slots,
            busy=worker.busy,
            hung=worker.hung,
            jobs=worker.jobs,
            last_seen_s=age_seconds(worker.last_seen_at, now_ms),
            types=worker.types,
            type_slots=dict(worker.type_slots),
            started_at=to_rfc3339(worker.started_at),
            lane=worker.lane,
            state=worker.state,
            wanted=None if worker.request is None else WorkerRequestAnswer.of(worker.request),
        )


class WorkerList(msgspec.Struct, frozen=True):
    """The live workers."""

    workers: tuple[WorkerAnswer, ...]


class WorkerStateRequested(msgspec.Struct, frozen=True, kw_only=True):
    """The worker, and the state that was requested for it."""

    worker: str
    wanted: WorkerState


class UnservedType(msgspec.Struct, frozen=True, kw_only=True):
    """A type that no other live worker claims, and how many of its jobs are ready."""

    type: str
    ready: int


class WorkerPlanAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a requested state of a worker would mean. Nothing has been requested.

    The worker runs `running` jobs. `ends_service`: it is the last worker of its service, which exits too.
    `silent_s` is for how long it has been silent, 0 if it is live.
    """

    worker: str
    wanted: WorkerState
    dry_run: bool
    running: int
    unserved: tuple[UnservedType, ...]
    ends_service: bool
    silent_s: float

    @classmethod
    def of(cls, plan: WorkerPlan) -> Self:
        """Return the answer for a plan."""
        return cls(
            worker=plan.worker.id,
            wanted=plan.wanted,
            dry_run=True,
            running=len(plan.worker.jobs),
            unserved=tuple(UnservedType(type=type, ready=ready) for type, ready in plan.unserved),
            ends_service=plan.ends_service,
            silent_s=plan.silent_ms / 1000,
        )


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """The broker, and how long it took to answer. `capacity` is null if no limit is known."""

    kind: str
    ok: bool
    round_trip_ms: float
    capacity: Capacity | None

    @classmethod
    def of(cls, health: BrokerHealth) -> Self:
        """Return the answer for a broker."""
        return cls(
            kind=health.kind,
            ok=health.ok,
            round_trip_ms=round(health.round_trip_ms, 3),
            capacity=health.capacity,
        )


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """The database. `capacity` is null if no limit is known."""

    kind: str
    ok: bool
    capacity: Capacity | None

    @classmethod
    def of(cls, health: DatabaseHealth | None, kind: str) -> Self:
        """Return the answer for a database, or for one of this kind that is not open."""
        if health is None:
            return cls(kind=kind, ok=False, capacity=None)
        return cls(kind=health.kind, ok=health.ok, capacity=health.capacity)


class TroubleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One problem: its kind, a message, and since when."""

    kind: TroubleKind
    level: Level
    message: str
    since: Time
    detail: str

    @classmethod
    def of(cls, trouble: Trouble) -> Self:
        """Return the answer for a problem."""
        return cls(
            kind=trouble.kind,
            level=trouble.level,
            message=trouble.message,
            since=to_rfc3339(trouble.since),
            detail=trouble.detail,
        )


class HealthAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The health of the service: the level of the worst problem, and all problems, the worst first."""

    level: HealthLevel
    troubles: tuple[TroubleAnswer, ...]

    @classmethod
    def of(cls, health: Health) -> Self:
        """Return the answer for the health of an installation."""
        return cls(
            level=_LEVELS[health.level], troubles=tuple(map(TroubleAnswer.of, health.troubles))
        )


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the service."""

    broker: Broker
    database: Database
    queues: tuple[QueueAnswer, ...]
    workers: tuple[WorkerAnswer, ...]
    totals: dict[str, int]
    types_left_off: int
    health: HealthAnswer

    @classmethod
    def of(cls, seen: Status, database_kind: str = "") -> Self:
        """Return the answer for a status; `database_kind` is shown if no database is open."""
        return cls(
            broker=Broker.of(seen.broker),
            database=Database.of(seen.database, database_kind),
            queues=tuple(QueueAnswer.of(queue, seen.at) for queue in seen.queues),
            workers=tuple(WorkerAnswer.of(worker, seen.at) for worker in seen.workers),
            totals=dict(total_counts(queue.counts for queue in seen.queues)),
            types_left_off=seen.types_left_off,
            health=HealthAnswer.of(seen.health),
        )


def total_counts(counts: Iterable[QueueCounts]) -> Mapping[str, int]:
    """Return the sums of the counts of all queues."""
    found = list(counts)
    return {name: sum(getattr(each, name) for each in found) for name in COUNTED}
