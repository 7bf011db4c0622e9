"""Retention: what has ended long ago moves to the archive or goes."""

from __future__ import annotations

from typing import Final

from hms_svc.ports.clock import Clock
from hms_svc.ports.control import Control
from hms_svc.ports.stores import Ledger
from hms_svc.runtime.service import Service

BATCH: Final = 500
DAY_MS: Final = 86_400_000


class Archivist(Service):
    """Once a minute: archive first, then forget; trim; bury what nobody serves; fold analytics."""

    def __init__(
        self,
        control: Control,
        ledger: Ledger,
        clock: Clock,
        *,
        failed_days: float,
        unserved_days: float,
    ) -> None:
        super().__init__(interval_seconds=60.0)
        self._control = control
        self._ledger = ledger
        self._clock = clock
        self._failed_ms = int(failed_days * DAY_MS)
        self._unserved_ms = int(unserved_days * DAY_MS)

    async def run_once(self) -> None:
        """Do one bounded round of each chore, again while a batch came back full."""
        now = self._clock.now_ms()
        while await self._archive(now - self._failed_ms) == BATCH:
            pass
        while await self._control.trim(limit=BATCH) >= BATCH:
            pass
        await self._control.bury_unserved(older_than=now - self._unserved_ms, limit=BATCH)
        await self._ledger.fold_analytics()

    async def _archive(self, older_than: int) -> int:
        jobs = await self._control.to_archive(older_than=older_than, limit=BATCH)
        if jobs:
            await self._ledger.archive(jobs)
            await self._control.forget([job.view.id for job in jobs])
        return len(jobs)
