"""The same names as `hms_svc`, awaitable: `Job`, `Handle`, `Batch`, `jobs`, `dao`, `gov`, `events`, `sql`, `close`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hms_svc.aio import dao, gov
from hms_svc.aio.event_streams import events
from hms_svc.api import portal
from hms_svc.api.new_job import NewJob, all_jobs, enqueue_here, note_answers

if TYPE_CHECKING:
    from hms_svc.aio import jobs, sql
    from hms_svc.api.awaitable_batch_handle import BatchHandle
    from hms_svc.api.awaitable_handle import Handle
    from hms_svc.api.batches import Batch, chain


class Job(NewJob):
    """A job to be enqueued with `await job.enqueue()`; see `hms_svc.Job`."""

    async def enqueue(self) -> str:
        """Enqueue the job, and return its state once it is durable. See `hms_svc.Job.enqueue`."""
        [state] = note_answers([self], await enqueue_here([self.envelope]))
        return state

    @staticmethod
    async def enqueue_all(jobs: Iterable[NewJob]) -> list[str]:
        """Enqueue many jobs, 5,000 per commit, and return their states. See `hms_svc.Job.enqueue_all`."""
        given = all_jobs("aio.Job.enqueue_all", jobs)
        return note_answers(given, await enqueue_here([job.envelope for job in given]))


async def close() -> None:
    """Close what this process has opened outside of jobs. See `hms_svc.close`."""
    await asyncio.to_thread(portal.close)


def __getattr__(name: str) -> Any:
    """Import on first use what a producer does not need."""
    if name in {"jobs", "sql"}:
        return import_module(f"hms_svc.aio.{name}")
    if name == "Handle":
        return import_module("hms_svc.api.awaitable_handle").Handle
    if name == "BatchHandle":
        return import_module("hms_svc.api.awaitable_batch_handle").BatchHandle
    if name in {"Batch", "chain"}:
        return getattr(import_module("hms_svc.api.batches"), name)
    raise AttributeError(f"module 'hms_svc.aio' has no attribute {name!r}")


__all__ = [
    "Batch",
    "BatchHandle",
    "Handle",
    "Job",
    "chain",
    "close",
    "dao",
    "events",
    "gov",
    "jobs",
    "sql",
]
