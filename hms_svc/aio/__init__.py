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

    async def enqueue(self) -> str:  # type: ignore[override]
        """Enqueue the job, and return its state once that is durable. See `hms_svc.Job.enqueue`."""
        [state] = await on_right_loop(lambda: work.enqueue([self.envelope]))
        return state

    @staticmethod
    async def enqueue_all(jobs: Iterable[jobs.Job]) -> list[str]:  # type: ignore[override]
        """Enqueue many jobs, 5,000 in one commit, and return their states."""
        envelopes = [job.envelope for job in jobs]
        return await on_right_loop(lambda: work.enqueue(envelopes))


async def close() -> None:
    """Close what this process has opened outside of jobs. See `hms_svc.close`."""
    await asyncio.to_thread(portal.close)


__all__ = ["Job", "close", "dao", "events", "gov"]
