"""Requests of the database tests: effects at places around one corner of a city."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.event import service_event
from hms_svc.domain.ids import case_id
from hms_svc.domain.job import Job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobDetail, JobView
from hms_svc.ports.stores import EffectRequest, OutboxEntry

NOON: Final = 1_767_268_800_000
HOUR: Final = 3_600_000
RADIUS_M: Final = 25.0
LAT: Final = 40.7128
LON: Final = -74.0060
METRE: Final = 1 / 111_195
"""One metre to the north, in degrees."""


def effect(
    job_id: str,
    *,
    north_m: float = 0.0,
    key: str = "",
    fence: int = 1,
    digest: str = "as it was",
    kind: str = "pothole",
    placed: bool = True,
    valid_until: int | None = None,
    follow_ups: tuple[Job, ...] = (),
) -> EffectRequest:
    """Return a request for a case this many metres north of the corner."""
    case = Case(
        id=case_id(job_id, key),
        job_id=job_id,
        key=key,
        kind=kind,
        lat=LAT + north_m * METRE if placed else None,
        lon=LON if placed else None,
        user_id="u-1",
        urgency=70,
        status=CaseStatus.OPEN,
        opened_at=NOON,
        data=b'{"note":"deep"}',
    )
    opened = service_event(job_id, "case.opened", key, {"case_id": case.id}, NOON)
    return EffectRequest(
        job_id=job_id,
        key=key,
        fence=fence,
        digest=digest,
        case=case,
        radius_m=RADIUS_M,
        actor="worker",
        events=(opened,),
        follow_ups=follow_ups,
        valid_until=valid_until,
    )


def dead_job(job_id: str, *, finished_at: int) -> JobDetail:
    """Return a dead job."""
    view = JobView(
        id=job_id,
        type="pothole.report",
        state=State.DEAD,
        attempt=5,
        enqueued_at=NOON,
        reason="error",
        by="handler",
        detail="boom",
        data=b'{"lat":1}',
        finished_at=finished_at,
    )
    return JobDetail(
        view=view,
        result=None,
        attempts=(),
        history=(),
        progress=(),
        envelope=b"{}",
        raw=b"\xff\x00",
    )


async def publish_nothing(entries: Sequence[OutboxEntry]) -> None:
    """Let a relay mark rows as published."""
