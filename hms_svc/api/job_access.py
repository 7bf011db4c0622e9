"""`jobs`: handles of jobs that are submitted here, or were submitted anywhere."""

from __future__ import annotations

import builtins
from typing import Any

from hms_svc.api import batch_calls, handle_calls
from hms_svc.api.batch_handle import BatchHandle
from hms_svc.api.handle import Handle
from hms_svc.api.new_job import NewJob, one_job
from hms_svc.api.portal import block

_NAME = "hms_svc.aio.jobs"


def enqueue(job: NewJob) -> Handle[Any]:
    """Enqueue a job, and return its handle once it is durable; raises as `hms_svc.Job.enqueue` does.

    Raises BadInput for what is no job; `hms_svc.Job.enqueue_all` and `hms_svc.Batch` take several.
    """
    one_job("jobs.enqueue", job)
    submitted = block(lambda: handle_calls.submit([job]), f"{_NAME}.enqueue")
    [handle] = submitted.handles(Handle, [job])
    return handle


def get(id: str) -> Handle[Any]:
    """Return the handle of the job with this id; UnknownId if neither the broker nor the archive has it."""
    return Handle(*block(lambda: handle_calls.find(id), f"{_NAME}.get"))


def batch(id: str) -> BatchHandle:
    """Return the handle of the batch with this id; UnknownId if the broker does not have it (any more)."""
    return BatchHandle(block(lambda: batch_calls.find_batch(id), f"{_NAME}.batch"))


def list(where: str = "", *, limit: int = 100) -> builtins.list[Handle[Any]]:
    """Return handles of the jobs that match a filter, such as `type:permit.apply state:dead`.

    At most `limit` (1 to 10,000), by state and then by their last transition, newest first; those in
    the archive are left out. Raises BadFilter with the position of the fault, and BadInput.
    """
    found = block(lambda: handle_calls.find_all(where, limit), f"{_NAME}.list")
    return [Handle(*each) for each in found]


__all__ = ["batch", "enqueue", "get", "list"]
