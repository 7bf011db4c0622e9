"""Whether there is room for more jobs of a type: paused for what comes from outside, or full."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from hms_svc.domain.errors import IntakePaused, Outage, QueueFull
from hms_svc.domain.job import Job
from hms_svc.domain.views import QueueCounts, QueueView
from hms_svc.ports.broker import Acceptance, Enqueued
from hms_svc.ports.inspection import Inspection

LOOK_EVERY_SECONDS: Final = 1.0
FULL_SECONDS: Final = 5
PAUSED_SECONDS: Final = 30


class Room:
    """Looks at the queues at most once a second, and counts what came in since then.

    Those who ask while a look is under way share it, and its failure.
    """

    def __init__(self, inspection: Inspection, limit: int) -> None:
        self._inspection = inspection
        self._limit = limit
        self._queues: dict[str, QueueView] = {}
        self._since: Counter[str] = Counter()
        self._entering: Counter[str] = Counter()
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def entered(self, jobs: Sequence[Job]) -> AsyncIterator[Room]:
        """Let jobs in meanwhile; IntakePaused or QueueFull where one may not come in now."""
        await self._look()
        wanted = Counter(job.type for job in jobs)
        for type, count in wanted.items():
            self._check(type, count)
        self._entering.update(wanted)
        try:
            yield self
        finally:
            self._entering -= wanted

    def accepted(self, jobs: Sequence[Job], answers: Sequence[Enqueued]) -> None:
        """Count those that are new."""
        for job, answer in zip(jobs, answers, strict=True):
            self._since[job.type] += answer.acceptance is Acceptance.ACCEPTED

    def _check(self, type: str, more: int) -> None:
        queue = self._queues.get(type)
        if queue is not None and queue.intake_paused:
            reason = f": {queue.pause_reason}" if queue.pause_reason else ""
            raise IntakePaused(
                f"{type} takes no jobs now, {queue.paused_by} has paused it{reason}",
                retry_after_seconds=PAUSED_SECONDS,
            )
        counts = queue.counts if queue is not None else QueueCounts()
        waiting = counts.queued + counts.scheduled + counts.retrying + counts.intake
        waiting += self._since[type] + self._entering[type]
        if self._limit and waiting + more > self._limit:
            raise QueueFull(
                f"{waiting:,} jobs of {type} wait and {more:,} would come, "
                f"where {self._limit:,} may (queue_limit)",
                retry_after_seconds=FULL_SECONDS,
            )

    async def _look(self) -> None:
        if asyncio.get_running_loop().time() - self._looked < LOOK_EVERY_SECONDS:
            return
        looking = self._looking
        if looking is None or looking.done():
            looking = self._looking = asyncio.create_task(self._read(), name="room")
        await asyncio.wait({looking})
        looking.result()

    async def _read(self) -> None:
        before = self._since.copy()
        try:
            queues = await self._inspection.queues()
        except Outage:
            self._looked = float("-inf")
            raise
        self._queues = {queue.type: queue for queue in queues}
        self._since -= before
        self._looked = asyncio.get_running_loop().time()
