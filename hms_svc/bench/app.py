"""The job types that a benchmark runs, in its worker process. Their names are those of one run."""

from __future__ import annotations

import os
import time
from typing import Any, Final

from hms_svc.domain.ids import case_id, follow_up_id
from hms_svc.domain.job import Job, encode_data
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob
from hms_svc.services.places import Places
from hms_svc.services.pothole_report import ACTION, KIND, PotholeReport, PotholeService
from hms_svc.services.urgency import assess

NAMESPACE_VARIABLE: Final = "HMS_SVC_NAMESPACE"
"""The setting that a worker process inherits: the namespace of a run is also the prefix of its types."""
_NO_LIMIT: Final = 10**9


def type_names(run: str) -> tuple[str, str, str, str]:
    """Return the types of a run: no-op, timed, report, notice."""
    return f"{run}.noop", f"{run}.timed", f"{run}.report", f"{run}.notice"


def make_registry(run: str) -> Registry:
    """Return the types of a run: a no-op, one that reports when it began, and the five steps of a report."""
    noop, timed, report, notice = type_names(run)
    registry = Registry()
    places = Places(None)
    service = PotholeService(places, reports_per_hour=_NO_LIMIT, blocked_users=frozenset())

    @registry.job(noop)
    async def do_nothing(job: RunningJob) -> None:
        pass

    @registry.job(timed)
    async def tell_beginning(job: RunningJob) -> int:
        return time.time_ns()

    @registry.job(notice)
    async def notify(job: RunningJob) -> None:
        pass

    @registry.job(
        report,
        payload=PotholeReport,
        validators=(service.identity, service.duplicate),
        action=ACTION,
    )
    async def open_case(job: RunningJob) -> dict[str, Any]:
        found = assess(places.load(), job.payload.lat, job.payload.lon)
        follow_up = Job(
            id=follow_up_id(job.id, notice),
            type=notice,
            data=encode_data({"case_id": case_id(job.id, "")}),
            enqueued_at=job.claimed.claimed_at,
        )
        case = await job.dao.insert_case(
            job.data, kind=KIND, urgency=found.urgency, follow_ups=(follow_up,)
        )
        return {"case_id": case, "urgency": found.urgency}

    return registry


def __getattr__(name: str) -> Registry:
    if name != "app":
        raise AttributeError(name)
    return make_registry(os.environ[NAMESPACE_VARIABLE])
