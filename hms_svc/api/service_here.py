"""Which job service a call belongs to: that of the running job's worker, or that of the process."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

from hms_svc.api.job_service import JobService
from hms_svc.api.portal import portal
from hms_svc.domain.errors import Refused
from hms_svc.ports.database import Database
from hms_svc.runtime.workers_here import WorkerHere, worker_on
from hms_svc.sdk.running_job import find_job

_of_workers: Final[WeakKeyDictionary[WorkerHere, JobService]] = WeakKeyDictionary()


async def job_service() -> JobService:
    """Return the service of the running job's worker, else that of the process; on the loop it belongs to.

    Raises Refused in a dry run.
    """
    job = find_job()
    if job is None:
        return await portal().jobs()
    worker = worker_on(job.loop)
    if worker is None:
        raise Refused("a dry run neither reads nor changes other jobs")
    if worker not in _of_workers:
        _of_workers[worker] = _service_of(worker)
    return _of_workers[worker]


def is_job_awaited() -> bool:
    """Return whether a handler of a worker on the running loop waits for the end of another job."""
    loop = asyncio.get_running_loop()
    return any(
        worker.loop is loop and service.ends.are_awaited
        for worker, service in list(_of_workers.items())
    )


def _service_of(worker: WorkerHere) -> JobService:
    engines, options = worker.engines, worker.options

    async def database() -> Database:
        return engines.database

    return JobService(
        inspection=engines.inspection,
        control=engines.control,
        bus=engines.bus,
        clock=engines.clock,
        actor=f"worker:{options.worker_id}",
        open_database=database,
        unserved_days=options.unserved_days,
        lease_seconds=options.lease_seconds,
    )
