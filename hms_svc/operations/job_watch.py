"""Waiting for jobs to end: by the events of the bus, and by reading the records as a fallback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Sequence
from typing import Final

from hms_svc.domain.event import JOB_CANCELLED, JOB_COMPLETED, JOB_DEAD, JOB_REJECTED
from hms_svc.domain.lifecycle import TERMINAL
from hms_svc.domain.views import JobDetail
from hms_svc.ports.bus import Bus
from hms_svc.ports.inspection import Inspection

CHECK_EVERY_SECONDS: Final = 2.0
LOOKUP_BATCH: Final = 500
_FINAL: Final = frozenset({JOB_COMPLETED, JOB_REJECTED, JOB_DEAD, JOB_CANCELLED})


class Watch:
    """Watches some jobs until they have ended."""

    def __init__(
        self, job_ids: Sequence[str], *, inspection: Inspection, bus: Bus, after: int
    ) -> None:
        self.pending = dict.fromkeys(job_ids)
        self._inspection = inspection
        self._bus = bus
        self._after = after

    async def ended(self) -> AsyncIterator[JobDetail]:
        """Yield each job as it ends, until none is left. The caller sets the time limit."""
        loop = asyncio.get_running_loop()
        examined = -CHECK_EVERY_SECONDS
        while self.pending:
            now = loop.time()
            if now - examined >= CHECK_EVERY_SECONDS:
                examined, candidates = now, list(self.pending)
            else:
                candidates = await self._announced()
            for start in range(0, len(candidates), LOOKUP_BATCH):
                for detail in await self._inspection.details(
                    candidates[start : start + LOOKUP_BATCH]
                ):
                    if detail is not None and detail.view.state in TERMINAL:
                        self.pending.pop(detail.view.id, None)
                        yield detail
            if self.pending and not candidates:
                await self._bus.wait(self._after, CHECK_EVERY_SECONDS)

    async def _announced(self) -> list[str]:
        self._after, found = await announced_ends(self._bus, self._after, self.pending)
        return found


async def announced_ends(bus: Bus, after: int, awaited: Container[str]) -> tuple[int, list[str]]:
    """Return the newest position on the bus, and which of the awaited jobs ended after `after`."""
    found: dict[str, None] = {}
    while events := await bus.read(after=after, limit=1000):
        after = events[-1].position
        found |= {
            event.subject: None
            for event in events
            if event.type in _FINAL and event.subject in awaited
        }
    return after, list(found)
