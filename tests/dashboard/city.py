"""The snapshot of a city that the pictures of the console are drawn from."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.event import Event
from hms_svc.domain.health import Health, TroubleKind
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import (
    AuditRecord,
    JobPage,
    QueueCounts,
    QueueView,
    WorkerView,
)
from hms_svc.operations.health import HealthInputs, assess
from hms_svc.operations.reads import FullJob
from hms_svc.operations.schedules import ScheduleView
from hms_svc.operations.type_detail import Percentiles, ServingWorker, TypeDetail, TypeSettings
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.inspection import BrokerHealth
from hms_svc.tui.audit_rows import fold
from hms_svc.tui.queries import (
    AuditRows,
    AuditRowsQuery,
    CaseQuery,
    CaseRows,
    CasesQuery,
    EventsQuery,
    JobQuery,
    JobsQuery,
    RunningJobs,
    RunningJobsQuery,
    SchedulesQuery,
    TypeQuery,
)
from hms_svc.tui.snapshot import FullJobSeen, SchedulePage, Snapshot
from hms_svc.tui.trend import QueueTrend
from tests.dashboard.city_jobs import (
    DEAD_JOB,
    FAILURES,
    JOBS,
    MINUTE,
    NOW,
    RESULTS,
    RUNNING,
    job_id,
    view,
)

__all__ = [
    "ANSWERS",
    "AUDIT",
    "CASE",
    "DEAD_JOB",
    "EMPTY",
    "FAILURES",
    "JOBS",
    "NOW",
    "PICTURE",
    "QUEUES",
    "RESULTS",
    "WORKERS",
    "health_of",
]


def queue(type: str, *, paused: str = "", served: bool = True, **counts: int) -> QueueView:
    return QueueView(
        type=type,
        counts=QueueCounts(**counts),
        counters={},
        oldest_queued_at=NOW - counts["queued"] * 150 if counts.get("queued") else None,
        next_due_at=None,
        paused=bool(paused),
        paused_by="ann" if paused else "",
        pause_reason=paused,
        served=served,
    )


QUEUES: Final = (
    queue("analysis.run", processing=2, completed=118),
    queue("crew.notify", queued=12, processing=3, retrying=41, dead=7, completed=8_410),
    queue("permit.check", queued=1_204, held=3, completed=52, paused="the register is being moved"),
    queue(
        "pothole.report", queued=84, processing=3, held=2, rejected=1_932, dead=4, completed=8_391
    ),
    queue("water.leak", queued=17, served=False),
)
TRENDS: Final = {
    "analysis.run": QueueTrend(arrivals=0.1, departures=0.1, ended=(0, 0, 1, 0) * 15),
    "crew.notify": QueueTrend(
        arrivals=4.2,
        departures=3.9,
        failed_share=0.18,
        ended=tuple(3 + number % 4 for number in range(60)),
    ),
    "permit.check": QueueTrend(arrivals=0.8, departures=0.0, ended=(0,) * 60),
    "pothole.report": QueueTrend(
        arrivals=5.1,
        departures=6.3,
        failed_share=0.004,
        drain_ms=70_000,
        ended=tuple(4 + (number * 7) % 6 for number in range(60)),
    ),
}
WORKERS: Final = (
    WorkerView(
        id="factory-1-4121-9f2c1b",
        host="factory-1",
        pid=4121,
        slots=8,
        busy=3,
        jobs=(job_id(1), job_id(2), job_id(3)),
        types=("analysis.run", "crew.notify", "pothole.report"),
        started_at=NOW - 190 * MINUTE,
        last_seen_at=NOW - 1_900,
        lane="normal",
        lease_ends=(NOW + 28_000, NOW + 28_000, NOW + 24_000),
    ),
    WorkerView(
        id="factory-2-871-0d77e4",
        host="factory-2",
        pid=871,
        slots=8,
        busy=1,
        jobs=(job_id(4),),
        types=("analysis.run", "crew.notify", "pothole.report"),
        started_at=NOW - 41 * MINUTE,
        last_seen_at=NOW - 21_000,
        lane="normal",
        lease_ends=(NOW + 9_000,),
    ),
)


CASE: Final = Case(
    id="case-00000003-5966-5a63-aa83",
    job_id=job_id(14),
    key="",
    kind="pothole",
    lat=38.8977,
    lon=-77.0365,
    user_id="usr-44321",
    urgency=84,
    status=CaseStatus.OPEN,
    opened_at=NOW - 4 * MINUTE,
    data=b'{"reasons":["school 120 m away"]}',
)
AUDIT: Final = (
    AuditRecord(
        number=3,
        at=NOW - 30_000,
        actor="ann",
        action="job.retry",
        subject="batch:01a2-77",
        detail=b'{"phase":"outcome","done":true}',
        link=118,
    ),
    AuditRecord(
        number=2,
        at=NOW - 31_000,
        actor="ann",
        action="job.retry",
        subject="batch:01a2-77",
        detail=b'{"phase":"intent","where":"cause:000000000005","note":"the crew is back"}',
        link=117,
    ),
    AuditRecord(
        number=1,
        at=NOW - 900_000,
        actor="ben",
        action="queue.pause",
        subject="queue:permit.check",
        detail=b'{"phase":"intent","note":"the register is being moved"}',
        link=116,
    ),
)
EVENTS: Final = tuple(
    Event(
        id=f"e{number}",
        type=type,
        subject=job_id(number),
        at=NOW - number * 800,
        data=data,
        position=90 - number,
    )
    for number, (type, data) in enumerate(
        [
            ("job.completed", b'{"type":"pothole.report","attempt":1,"duration_ms":14}'),
            ("case.opened", b'{"case_id":"case-00000003-5966-5a63-aa83","urgency":84}'),
            ("job.dead", b'{"type":"crew.notify","attempt":5,"reason":"error"}'),
        ]
        * 12
    )
)
SCHEDULES: Final = (
    ScheduleView(
        type="register.refresh",
        cron="*/15 * * * *",
        description="every 15 minutes",
        next_at=NOW + 4 * MINUTE,
        next_job="tick:register.refresh:1",
        overlap="skip",
        catch_up=1,
        last_at=NOW - 11 * MINUTE,
        last_job="tick:register.refresh:0",
        last_state=State.COMPLETED,
        skipped=2,
        skipped_at=NOW - 26 * MINUTE,
        skip_reason="overlap: job tick:register.refresh:-2 of the run before is retrying",
        paused_by="",
        paused_at=None,
        pause_reason="",
    ),
)
TYPE: Final = TypeDetail(
    at=NOW,
    queue=msgspec.structs.replace(
        QUEUES[1], counters={"accepted": 8_473, "completed": 8_410, "failed": 512, "dead": 7}
    ),
    why="Queue crew.notify is moving: 12 ready jobs, the oldest for 1 s; 3 of its jobs run, of 6 at "
    "most, and 3 of the 8 slots that serve it are busy; it also has 41 waiting to be retried.",
    workers=tuple(
        ServingWorker(
            worker=worker.id,
            slots=worker.slots,
            most=6,
            busy=worker.busy,
            running=running,
            last_seen_at=worker.last_seen_at,
            is_silent=not running,
        )
        for worker, running in zip(WORKERS, (3, 0), strict=True)
    ),
    groups=tuple(group for group in FAILURES if group.type == "crew.notify"),
    newest=tuple(
        view(
            20 + number,
            state,
            "crew.notify",
            started_at=NOW - number * 900 - 17,
            finished_at=NOW - number * 900,
            reason="error" * (state is State.DEAD),
            detail="crew.example answered 503" * (state is State.DEAD),
        )
        for number, state in enumerate([*[State.COMPLETED] * 3, State.DEAD, *[State.COMPLETED] * 5])
    ),
    took=Percentiles(17, 41, 96, 100),
    settings=TypeSettings(
        place="city/crews.py:12",
        max_attempts=20,
        base_seconds=2,
        cap_seconds=3600,
        give_up_on=(),
        retry_on=(),
        within_seconds=None,
        backoff="",
        timeout_seconds=300,
        priority=0,
        slots=6,
        weight=1,
        payload="CrewNotice",
        validators=("crew_exists",),
        action="notify_crew",
        is_unique=False,
        unique="",
        limits=(),
        isolation="",
        schedule="",
        version=1,
    ),
    schedule=None,
)
ANSWERS: Final[dict[type, object]] = {
    TypeQuery: TYPE,
    JobsQuery: JobPage(JOBS, None, len(JOBS)),
    SchedulesQuery: SchedulePage(SCHEDULES, JobPage(JOBS[3:5], None, 2)),
    JobQuery: FullJobSeen(
        FullJob(detail=DEAD_JOB, case=None, audit=AUDIT[:1], archived=False),
        f"Job {job_id(16)} (crew.notify) died: its handler failed after 5 of 5 attempts with "
        "WebhookFailed: crew.example answered 503.",
    ),
    RunningJobsQuery: RunningJobs({RUNNING.view.id: RUNNING}),
    CasesQuery: CaseRows((CASE,), None),
    CaseQuery: CASE,
    EventsQuery: EVENTS,
    AuditRowsQuery: AuditRows(tuple(fold(AUDIT)), True),
}
BROKER: Final = BrokerHealth("redis", True, 0.7)
DATABASE: Final = DatabaseHealth("postgresql", True)


def health_of(
    broker: BrokerHealth = BROKER, database: DatabaseHealth = DATABASE, *, is_city: bool = True
) -> Health:
    """Return the health of the city, or of an empty installation."""
    seen = HealthInputs(at=NOW - 400, broker=broker, database=database)
    if broker.ok:
        queues, workers = (QUEUES, WORKERS) if is_city else ((), ())
        seen = msgspec.structs.replace(seen, queues=queues, workers=workers)
    return assess(seen, dict.fromkeys(TroubleKind, NOW - 12 * MINUTE))


PICTURE: Final = Snapshot(
    at=NOW - 400,
    queues=QUEUES,
    workers=WORKERS,
    failures=FAILURES,
    results=RESULTS,
    trends=TRENDS,
    p95={"pothole.report": 41, "analysis.run": 6_000},
    p95_of_all=87,
    broker=BROKER,
    database=DATABASE,
    health=health_of(),
)
EMPTY: Final = Snapshot(
    at=NOW - 400,
    broker=BrokerHealth("sqlite", True, 0.2),
    database=DatabaseHealth("sqlite", True),
    health=health_of(is_city=False),
)
