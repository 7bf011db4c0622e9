"""The same names as `hms_svc`, awaitable: `Job`, `dao`, `gov`, `events`, `close`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hms_svc.aio import dao, gov
from hms_svc.aio.event_streams import events
from hms_svc.facade import jobs, portal, work
from hms_svc.facade.portal import on_right_loop


class Job(jobs.Job):
    """A job to be enqueued; `await job.enqueue()`."""

    async def enqueue(self) -> None:  # type: ignore[override]
        """Hand the job in; returns once it is durably accepted. See `hms_svc.Job.enqueue`."""
        await on_right_loop(lambda: work.enqueue([self.envelope]))

    @staticmethod
    async def enqueue_all(jobs: Iterable[jobs.Job]) -> None:  # type: ignore[override]
        """Hand many jobs in, 5,000 to a commit."""
        envelopes = [job.envelope for job in jobs]
        await on_right_loop(lambda: work.enqueue(envelopes))


async def close() -> None:
    """Close what this process has opened outside of jobs. See `hms_svc.close`."""
    await asyncio.to_thread(portal.close)


__all__ = ["Job", "close", "dao", "events", "gov"]
