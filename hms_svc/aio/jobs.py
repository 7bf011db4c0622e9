"""`aio.jobs`: handles of jobs, awaitable."""

from __future__ import annotations

import builtins
from typing import Any

from hms_svc.api import batch_calls, handle_calls
from hms_svc.api.awaitable_batch_handle import BatchHandle
from hms_svc.api.awaitable_handle import Handle
from hms_svc.api.new_job import NewJob, one_job
from hms_svc.api.portal import on_right_loop


async def enqueue(job: NewJob) -> Handle[Any]:
    """Enqueue a job, and return its handle. See `hms_svc.jobs.enqueue`."""
    one_job("aio.jobs.enqueue", job)
    [handle] = (await handle_calls.submit_here([job])).handles(Handle, [job])
    return handle


async def get(id: str) -> Handle[Any]:
    """Return the handle of the job with this id. See `hms_svc.jobs.get`."""
    return Handle(*await on_right_loop(lambda: handle_calls.find(id)))


async def batch(id: str) -> BatchHandle:
    """Return the handle of the batch with this id. See `hms_svc.jobs.batch`."""
    return BatchHandle(await on_right_loop(lambda: batch_calls.find_batch(id)))


async def list(where: str = "", *, limit: int = 100) -> builtins.list[Handle[Any]]:
    """Return handles of the jobs that match a filter. See `hms_svc.jobs.list`."""
    found = await on_right_loop(lambda: handle_calls.find_all(where, limit))
    return [Handle(*each) for each in found]


__all__ = ["batch", "enqueue", "get", "list"]
