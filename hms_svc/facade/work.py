"""What both surfaces do, blocking or awaited: one coroutine for each operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hms_svc.domain.errors import IdConflict
from hms_svc.facade.portal import portal
from hms_svc.handling.context import find_job
from hms_svc.ports.broker import Acceptance

if TYPE_CHECKING:
    from hms_svc.domain.job import Job
    from hms_svc.handling.dao import Dao
    from hms_svc.handling.gate import Gate

BATCH: Final = 5000
"""Jobs to a transaction: one that is much longer would keep the workers waiting."""


async def enqueue(jobs: Sequence[Job]) -> None:
    """Hand jobs to the broker; raises IdConflict where an id is taken by another job."""
    job = find_job()
    if job is None:
        broker = (await portal().backend()).broker
    else:
        broker, jobs = job.broker, job.carry_trace(jobs)
    for start in range(0, len(jobs), BATCH):
        for answer in await broker.enqueue(jobs[start : start + BATCH]):
            if answer.acceptance is Acceptance.CONFLICT:
                raise IdConflict(
                    f"job id {answer.job_id!r} is taken, with another type or other data"
                )


async def dao() -> Dao:
    """Give the running job's DAO, else the process's own."""
    job = find_job()
    return job.dao if job is not None else await portal().dao()


async def gate() -> Gate:
    """Give the running job's gate, else the process's own."""
    job = find_job()
    return job.gov if job is not None else await portal().gate()
