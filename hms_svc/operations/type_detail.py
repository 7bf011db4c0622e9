"""Everything that is known about one job type: its queue, workers, causes, results, settings and schedule."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hms_svc.domain.audit_query import AuditQuery
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import DatabaseUnavailable, UnknownId
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job_limits import Concurrency, Rate, limit_of
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.percentile import percentile
from hms_svc.domain.plain_text import duration_text, plural
from hms_svc.domain.uniqueness import rule_of
from hms_svc.domain.views import FailureGroup, JobView, QueueView, WorkerView
from hms_svc.operations.action_table import AUDITED
from hms_svc.operations.queue_explanation import explain_queue
from hms_svc.operations.reads import Reads
from hms_svc.operations.schedules import ScheduleService, ScheduleView
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.source_places import name_of

MOST_RESULTS: Final = 10
MOST_MEASURED: Final = 100
"""The newest completed jobs, from which percentiles are computed."""
MOST_RUNNING: Final = 200
MOST_WAITING: Final = 100
"""The first scheduled jobs, whose reasons for waiting are counted."""
MOST_WHYS: Final = 3
_SHARES: Final = (0.5, 0.95, 0.99)


class ServingWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that serves the type: it may use `most` of its `slots` for it, and `running` have its jobs."""

    worker: str
    slots: int
    most: int
    busy: int
    running: int
    last_seen_at: int
    is_silent: bool


class Percentiles(msgspec.Struct, frozen=True):
    """How long the last attempt of the newest `of` completed jobs took (ms)."""

    p50: int
    p95: int
    p99: int
    of: int = msgspec.field(name="jobs")


class TypeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The declared settings of a type, with the defaults of the settings filled in.

    `place` is file and line of its handler, `slots` the most that one worker uses for it, None
    if only the worker's own share limits it. `give_up_on` and `retry_on` are the names of the classes
    that the retry policy has, `backoff` describes one of its own.
    """

    place: str = msgspec.field(name="handler")
    max_attempts: int
    base_seconds: float
    cap_seconds: float
    give_up_on: tuple[str, ...]
    retry_on: tuple[str, ...]
    within_seconds: float | None
    backoff: str
    timeout_seconds: float
    priority: int
    slots: int | None
    weight: int
    payload: str
    validators: tuple[str, ...]
    action: str
    is_unique: bool
    unique: str
    limits: tuple[str, ...]
    isolation: str
    schedule: str
    version: int


class TypeDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One job type at `at` (Unix ms).

    `settings` are None if this program has no code for the type. `paused_at` is when the queue
    was paused, None if it is not or that is unknown; `unread` is why that could not be read.
    `snoozed` are the reasons why scheduled jobs were put off, with their numbers among the first hundred.
    """

    at: int
    queue: QueueView
    why: str
    workers: tuple[ServingWorker, ...]
    groups: tuple[FailureGroup, ...]
    newest: tuple[JobView, ...]
    took: Percentiles | None
    settings: TypeSettings | None
    schedule: ScheduleView | None
    paused_at: int | None = None
    unread: str = ""
    snoozed: tuple[tuple[str, int], ...] = ()

    @property
    def snoozed_texts(self) -> list[str]:
        """The reasons why scheduled jobs were put off: `46 jobs: the receiver has not answered`."""
        return [f"{plural(number, 'job')}: {why}" for why, number in self.snoozed]


class TypeDetails:
    """Reads type details. `registry` is None if no application was loaded; `timeout_seconds` is the default of types."""

    def __init__(
        self,
        reads: Reads,
        schedules: ScheduleService,
        registry: Registry | None,
        *,
        timeout_seconds: float,
    ) -> None:
        self._reads = reads
        self._schedules = schedules
        self._registry = registry
        self._timeout_seconds = timeout_seconds

    async def detail(self, type: str) -> TypeDetail:
        """Return everything that is known about a type, with bounded work; UnknownId for one without a queue."""
        reads = self._reads
        queues, (live, silent), groups, schedules, (running, waiting), ended = await asyncio.gather(
            reads.queues([type]),
            reads.register(),
            reads.failures(),
            self._schedules.all(),
            asyncio.gather(
                self._jobs(type, State.PROCESSING, MOST_RUNNING),
                self._jobs(type, State.SCHEDULED, MOST_WAITING),
            ),
            self._ended(type),
        )
        if not queues:
            raise UnknownId(f"no queue {type!r}")
        completed = ended[State.COMPLETED]
        newest = sorted(
            (job for jobs in ended.values() for job in jobs[:MOST_RESULTS]),
            key=lambda job: -(job.finished_at or 0),
        )
        paused_at, unread = await self._paused_at(queues[0])
        declared = self._registry.get(type) if self._registry is not None else None
        now = reads.now_ms()
        return TypeDetail(
            at=now,
            queue=queues[0],
            why=explain_queue(queues[0], live, now),
            workers=_serving(type, live, silent, running),
            groups=tuple(group for group in groups if group.type == type),
            newest=tuple(newest[:MOST_RESULTS]),
            took=_percentiles(completed),
            settings=_settings(declared, self._timeout_seconds) if declared is not None else None,
            schedule=next((each for each in schedules if each.type == type), None),
            paused_at=paused_at,
            unread=unread,
            snoozed=tuple(
                Counter(job.detail for job in waiting if job.detail).most_common(MOST_WHYS)
            ),
        )

    async def _ended(self, type: str) -> dict[State, Sequence[JobView]]:
        """Read the newest jobs of each final state: of the completed ones as many as are measured."""
        states = sorted(TERMINAL)
        found = await asyncio.gather(
            *(
                self._jobs(type, each, MOST_MEASURED if each is State.COMPLETED else MOST_RESULTS)
                for each in states
            )
        )
        return dict(zip(states, found, strict=True))

    async def _jobs(self, type: str, state: State, most: int) -> Sequence[JobView]:
        where = parse_filter(f"type:{type} state:{state.value}")
        return (await self._reads.jobs(where, limit=most, cursor=None)).jobs

    async def _paused_at(self, queue: QueueView) -> tuple[int | None, str]:
        """Find when a queue was paused: only the audit log has it, the broker just the operator and the reason."""
        if not queue.paused:
            return None, ""
        try:
            query = AuditQuery(subject=f"queue:{queue.type}")
            rows = await self._reads.database.audit.records(query, limit=20, cursor=None)
        except DatabaseUnavailable as error:
            return None, str(error)
        pauses = (row.at for row in rows if row.action == AUDITED["pause"])
        return next(pauses, None), ""


def _serving(
    type: str, live: Sequence[WorkerView], silent: Sequence[WorkerView], running: Sequence[JobView]
) -> tuple[ServingWorker, ...]:
    held = Counter(job.worker for job in running)
    return tuple(
        ServingWorker(
            worker=worker.id,
            slots=worker.slots,
            most=worker.slots_of(type),
            busy=worker.busy,
            running=held[worker.id],
            last_seen_at=worker.last_seen_at,
            is_silent=is_silent,
        )
        for workers, is_silent in ((live, False), (silent, True))
        for worker in workers
        if type in worker.types
    )


def _percentiles(completed: Sequence[JobView]) -> Percentiles | None:
    took = [
        job.finished_at - job.started_at
        for job in completed
        if job.finished_at is not None and job.started_at is not None
    ]
    if not took:
        return None
    p50, p95, p99 = (percentile(took, share) for share in _SHARES)
    return Percentiles(p50, p95, p99, len(took))


def _settings(declared: JobType, timeout_seconds: float) -> TypeSettings:
    retry = declared.retry or RetryPolicy()
    own = declared.timeout_seconds
    return TypeSettings(
        place=declared.place,
        max_attempts=retry.max_attempts,
        base_seconds=retry.base_seconds,
        cap_seconds=retry.cap_seconds,
        give_up_on=tuple(kind.__name__ for kind in retry.give_up_on),
        retry_on=tuple(kind.__name__ for kind in retry.retry_on),
        within_seconds=retry.within_seconds,
        backoff=_backoff_text(retry),
        timeout_seconds=timeout_seconds if own is None else own,
        priority=declared.priority,
        slots=declared.slots,
        weight=declared.weight,
        payload=declared.payload.__name__ if declared.payload is not None else "",
        validators=tuple(
            getattr(each, "__name__", type(each).__name__) for each in declared.validators
        ),
        action=declared.action or "",
        is_unique=declared.unique is not None,
        unique="" if declared.unique is None else str(rule_of(declared.unique)),
        limits=tuple(map(_limit_text, declared.limits)),
        isolation=_isolation_text(declared),
        schedule=declared.schedule.text if declared.schedule is not None else "",
        version=declared.version,
    )


def settings_facts(detail: TypeDetail) -> list[tuple[str, str]]:
    """Return names and texts of the limits of a type: from its code, and of the workers that serve it."""
    found = detail.settings
    limits = sorted({(each.most, each.slots) for each in detail.workers})
    shares = ", ".join(f"{most} of {slots}" for most, slots in limits)
    of_workers = [("slots", f"at most {shares} of a worker" if shares else "")]
    if found is None:
        registered = "; ".join(map(str, detail.queue.limits))
        unknown = "unknown: this program has no code for the type"
        return [("settings", unknown), ("limits", registered), *of_workers]
    within = found.within_seconds
    waits = [_seconds_text(seconds) for seconds in (found.base_seconds, found.cap_seconds)]
    return [
        ("declared", found.place),
        ("attempts", f"at most {found.max_attempts}, unless a job sets its own number"),
        ("backoff", found.backoff or f"up to {waits[0]}, doubled each time, up to {waits[1]}"),
        ("gives up on", ", ".join(found.give_up_on)),
        ("retries only", ", ".join(found.retry_on)),
        ("retries within", "" if within is None else f"{_seconds_text(within)} of a run"),
        ("timeout", f"{_seconds_text(found.timeout_seconds)} per attempt"),
        ("priority", str(found.priority) if found.priority else ""),
        ("weight", f"{found.weight}: of the claims of a worker" if found.weight > 1 else ""),
        ("payload", found.payload or "any JSON: no model is declared"),
        ("version", f"{found.version}: older payloads are upgraded" if found.version > 1 else ""),
        ("validators", ", ".join(found.validators)),
        ("action", f"{found.action}, vetted by governance" if found.action else ""),
        ("unique", found.unique and f"by a key computed from the payload: {found.unique}"),
        ("limits", "; ".join(found.limits)),
        ("isolation", found.isolation),
        *of_workers,
    ]


def _backoff_text(retry: RetryPolicy) -> str:
    if retry.backoff is None:
        return ""
    if callable(retry.backoff):
        return f"computed by {name_of(retry.backoff)}"
    return f"{', '.join(map(_seconds_text, retry.backoff))}; the last one repeats"


def _seconds_text(seconds: float) -> str:
    return duration_text(int(seconds * 1000)) if seconds >= 1 else f"{seconds:g} s"


def _isolation_text(declared: JobType) -> str:
    if declared.isolate is None:
        return ""
    parts = ["in a process of its own"]
    if declared.memory_mb is not None:
        parts.append(f"at most {declared.memory_mb} MiB beyond its start")
    if declared.jobs_per_process is not None:
        parts.append(f"a new one after {plural(declared.jobs_per_process, 'job')}")
    return ", ".join(parts)


def _limit_text(declared: Concurrency[Any] | Rate[Any]) -> str:
    key = f" for each {name_of(declared.key)}" if declared.key is not None else ""
    return f"{limit_of(declared)}{key}"
