"""The snapshot: one frozen value with everything that the widgets are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

import msgspec

from hms_svc.domain.event import JOB_CANCELLED, JOB_COMPLETED, JOB_DEAD, JOB_REJECTED, Event
from hms_svc.domain.health import Health
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import FailureGroup, QueueView, WorkerState, WorkerView
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.inspection import BrokerHealth
from hms_svc.tui.commands import Target
from hms_svc.tui.trend import QueueTrend

if TYPE_CHECKING:
    from hms_svc.domain.views import JobPage
    from hms_svc.operations.reads import FullJob
    from hms_svc.operations.schedules import ScheduleView
    from hms_svc.operations.service import Operations

_ENDS: Final = {
    JOB_COMPLETED: State.COMPLETED,
    JOB_REJECTED: State.REJECTED,
    JOB_DEAD: State.DEAD,
    JOB_CANCELLED: State.CANCELLED,
}


BROKER: Final = "broker"
DATABASE: Final = "database"


class ScreenQuery(Protocol):
    """A query of a screen, which the store runs repeatedly; equal values are the same query."""

    source: ClassVar[str]
    """Which engine answers: `broker` or `database`."""

    @property
    def every_seconds(self) -> float:
        """The age at which the answer is refreshed."""
        ...

    async def read(self, operations: Operations) -> object:
        """Run the query on the operator service. Only the store calls this."""
        ...


class SchedulePage(msgspec.Struct, frozen=True):
    """All schedules, and one page of the jobs that are scheduled or retrying."""

    schedules: tuple[ScheduleView, ...]
    page: JobPage


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One finished job, from its event. `key` is the id of the event."""

    key: str
    at: int
    job_id: str
    type: str
    state: State
    duration_ms: int
    case_id: str | None = None
    reason: str = ""
    by: str = ""
    detail: str = ""


class Seen(msgspec.Struct, frozen=True):
    """The answer to a query, and when it was read (Unix ms)."""

    data_query: ScreenQuery
    answer: object
    at: int


class FullJobSeen(msgspec.Struct, frozen=True):
    """One job in full, with the explanation of its state; `unread` is why its case and audit records are not known."""

    full_job: FullJob
    why: str
    unread: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The last known state of everything. `at` (Unix ms) is 0 before the first read.

    `trouble` is why the last read of the broker failed, `query_trouble` why the last query of the
    screen failed; each is empty if it succeeded. `causes_at` (Unix ms) is when the failures were last read.
    `silent_workers` are registered but not live.
    """

    at: int = 0
    queues: tuple[QueueView, ...] = ()
    workers: tuple[WorkerView, ...] = ()
    silent_workers: tuple[WorkerView, ...] = ()
    types_left_off: int = 0
    failures: tuple[FailureGroup, ...] = ()
    results: tuple[Result, ...] = ()
    trends: Mapping[str, QueueTrend] = {}
    p95: Mapping[str, int] = {}
    p95_of_all: int | None = None
    broker: BrokerHealth | None = None
    database: DatabaseHealth | None = None
    health: Health | None = None
    trouble: str = ""
    query_trouble: str = ""
    is_frozen: bool = False
    lease_ms: int = 30_000
    causes_at: int = 0
    seen: Seen | None = None

    def answer_to(self, data_query: ScreenQuery | None) -> object | None:
        """Return the answer to this query; None if there is none yet."""
        return (
            self.seen.answer
            if self.seen is not None and self.seen.data_query == data_query
            else None
        )

    def age_of(self, data_query: ScreenQuery | None, now_ms: int) -> int | None:
        """Return the age of the answer to a query, or of the snapshot if there is no query; None before the first."""
        at = self.at
        if data_query is not None and (data_query.source == DATABASE or self.query_trouble):
            at = self.seen.at if self.seen is not None and self.seen.data_query == data_query else 0
        return now_ms - at if at else None

    def trouble_of(self, data_query: ScreenQuery | None) -> str:
        """Return why a screen with this query has no newer data; empty if there is no error."""
        if data_query is not None and (data_query.source == DATABASE or self.query_trouble):
            return self.query_trouble
        return self.trouble


class _EndData(msgspec.Struct):
    """The data of an event about the end of a job; every field may be missing."""

    type: str = ""
    duration_ms: int = 0
    case_id: str | None = None
    reason: str = ""
    by: str = ""
    detail: str = ""


_read_data: Final = msgspec.json.Decoder(_EndData).decode


def results_of(events: Iterable[Event]) -> list[Result]:
    """Return the finished jobs of these events."""
    found = []
    for event in events:
        state = _ENDS.get(event.type)
        if state is not None:
            data = _read_data(event.data)
            found.append(
                Result(
                    key=event.id,
                    at=event.at,
                    job_id=event.subject,
                    type=data.type,
                    state=state,
                    duration_ms=data.duration_ms,
                    case_id=data.case_id,
                    reason=data.reason,
                    by=data.by,
                    detail=data.detail,
                )
            )
    return found


def job_type_of(event: Event) -> str:
    """Return the job type of an event; empty if it has none."""
    return _read_data(event.data).type if event.type.startswith("job.") else ""


def is_paused(snapshot: Snapshot, target: Target | None) -> bool:
    """Return whether all queues or schedules of the target are paused, or its workers do not claim or were asked not to."""
    if target is not None and target.kind == "worker":
        workers = (*snapshot.workers, *snapshot.silent_workers)
        states = {each.id: each.request.state if each.request else each.state for each in workers}
        working = WorkerState.WORKING
        return all(states.get(each, working) is not working for each in target.ids)
    if target is not None and target.kind == "schedule":
        answer = None if snapshot.seen is None else snapshot.seen.answer
        schedules = answer.schedules if isinstance(answer, SchedulePage) else ()
        return set(target.ids) <= {each.type for each in schedules if each.is_paused}
    paused = {queue.type for queue in snapshot.queues if queue.paused}
    types = types_of(snapshot, target)
    return bool(types) and set(types) <= paused


def types_of(snapshot: Snapshot, target: Target | None) -> tuple[str, ...]:
    """Return the job types of the target, as far as the snapshot has them."""
    if target is None:
        return ()
    if target.kind == "queue":
        return target.ids
    if target.kind == "group":
        return tuple({group.type for group in snapshot.failures if group.id in target.ids})
    return ()
