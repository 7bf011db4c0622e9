"""What both surfaces do, blocking or awaited: one coroutine for each operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hms_svc.domain.errors import IdConflict
from hms_svc.facade.portal import portal
from hms_svc.handling.context import find_job
from hms_svc.ports.broker import Acceptance

if TYPE_CHECKING:
    from hms_svc.domain.job import Job
    from hms_svc.handling.dao import Dao
    from hms_svc.handling.gate import Gate


async def enqueue(jobs: Sequence[Job]) -> None:
    """Hand jobs to the broker; raises IdConflict where an id is taken by another job."""
    backend = await portal().backend()
    for answer in await backend.broker.enqueue(jobs):
        if answer.acceptance is Acceptance.CONFLICT:
            raise IdConflict(f"job id {answer.job_id!r} is taken, with another type or other data")


async def dao() -> Dao:
    """Give the running job's DAO, else the process's own."""
    job = find_job()
    return job.dao if job is not None else await portal().dao()


async def gate() -> Gate:
    """Give the running job's gate, else the process's own."""
    job = find_job()
    return job.gov if job is not None else await portal().gate()
