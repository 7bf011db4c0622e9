"""Whether more jobs of a type are accepted: not if its intake is paused, or its queue is full."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Final

from hms_svc.domain.errors import IntakePaused, QueueFull
from hms_svc.domain.job import Job
from hms_svc.domain.views import QueueCounts, QueueView
from hms_svc.ports.broker import Acceptance, Enqueued
from hms_svc.ports.inspection import Inspection

CHECK_EVERY_SECONDS: Final = 1.0
FULL_SECONDS: Final = 5
PAUSED_SECONDS: Final = 30
MOST_KNOWN: Final = 2000


class Admission:
    """Reads a queue at most once per second, and counts what was accepted since then.

    Concurrent callers share a read that is under way, and its failure.
    """

    def __init__(self, inspection: Inspection, limit: int) -> None:
        self._inspection = inspection
        self._limit = limit
        self._queues: dict[str, QueueView | None] = {}
        self._since: Counter[str] = Counter()
        self._entering: Counter[str] = Counter()
        self._read_at: dict[str, float] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}

    async def enter(self, jobs: Sequence[Job]) -> Mapping[str, int]:
        """Admit jobs until `leave`; IntakePaused or QueueFull if they may not be accepted now.

        Return how many there are of each type.
        """
        wanted: dict[str, int] = {}
        for job in jobs:
            wanted[job.type] = wanted.get(job.type, 0) + 1
        await self._refresh(wanted)
        for type, count in wanted.items():
            self._check(type, count)
        for type, count in wanted.items():
            self._entering[type] += count
        return wanted

    def leave(self, entered: Mapping[str, int]) -> None:
        """Forget what `enter` returned: the jobs were accepted, or not."""
        for type, count in entered.items():
            self._entering[type] -= count
            if not self._entering[type]:
                del self._entering[type]

    def accepted(self, jobs: Sequence[Job], answers: Sequence[Enqueued]) -> None:
        """Count those that are new."""
        for job, answer in zip(jobs, answers, strict=True):
            self._since[job.type] += answer.acceptance is Acceptance.ACCEPTED

    def _check(self, type: str, more: int) -> None:
        queue = self._queues.get(type)
        if queue is not None and queue.intake_paused:
            reason = f" ({queue.pause_reason})" if queue.pause_reason else ""
            raise IntakePaused(
                f"{type} accepts no jobs now: {queue.paused_by} has paused it{reason}",
                retry_after_seconds=PAUSED_SECONDS,
            )
        counts = queue.counts if queue is not None else QueueCounts()
        waiting = counts.queued + counts.scheduled + counts.retrying + counts.intake
        waiting += self._since[type] + self._entering[type]
        if self._limit and waiting + more > self._limit:
            raise QueueFull(
                f"{waiting:,} jobs of {type} wait, and {more:,} more would exceed "
                f"the limit of {self._limit:,} (queue_limit)",
                retry_after_seconds=FULL_SECONDS,
            )

    async def _refresh(self, types: Iterable[str]) -> None:
        now = asyncio.get_running_loop().time()
        old = [type for type in types if now - self._read_at.get(type, -inf) >= CHECK_EVERY_SECONDS]
        if new := [type for type in old if type not in self._reading]:
            reading = asyncio.create_task(self._read(new), name="admission")
            self._reading.update(dict.fromkeys(new, reading))
        for reading in {self._reading[type] for type in old}:
            await asyncio.wait({reading})
            reading.result()

    async def _read(self, types: Sequence[str]) -> None:
        before = {type: self._since[type] for type in types}
        try:
            found = {queue.type: queue for queue in await self._inspection.queues(types)}
            self._forget()
            now = asyncio.get_running_loop().time()
            for type in types:
                self._queues[type] = found.get(type)
                self._read_at[type] = now
            self._since -= Counter(before)
        finally:
            for type in types:
                del self._reading[type]

    def _forget(self) -> None:
        """Forget types to which nobody has submitted jobs for long, once there are many."""
        if len(self._read_at) > MOST_KNOWN:
            now = asyncio.get_running_loop().time()
            for type in [t for t, at in self._read_at.items() if now - at > CHECK_EVERY_SECONDS]:
                del self._read_at[type], self._queues[type]
                if not self._entering[type]:
                    del self._since[type]
