"""Retention: old finished jobs move to the archive or are removed."""

from __future__ import annotations

from typing import Final

from hms_svc.domain.errors import Outage
from hms_svc.ports.clock import Clock
from hms_svc.ports.control import Control
from hms_svc.ports.stores import AnalyticsStore, ArchiveStore
from hms_svc.runtime.archive_transfer import ArchiveTransfer
from hms_svc.runtime.loop import Service, log

BATCH: Final = 500
DAY_MS: Final = 86_400_000


class Archiver(Service):
    """Runs the retention tasks once a minute: archive, trim, dead-letter unserved jobs, fold analytics.

    A failure of one task, or a record that one of them cannot process, does not stop the others.
    """

    def __init__(
        self,
        *,
        control: Control,
        archive: ArchiveStore,
        analytics: AnalyticsStore,
        transfer: ArchiveTransfer,
        clock: Clock,
        completed_days: float,
        failed_days: float,
        unserved_days: float,
    ) -> None:
        super().__init__(interval_seconds=60.0)
        self._control = control
        self._store = archive
        self._analytics = analytics
        self._transfer = transfer
        self._clock = clock
        self._completed_ms = int(completed_days * DAY_MS)
        self._sweep_cursor: str | None = None
        self._failed_ms = int(failed_days * DAY_MS)
        self._unserved_ms = int(unserved_days * DAY_MS)

    async def run_once(self) -> None:
        """Run each task once; raise an Outage of one of them after all have run."""
        outages: list[Outage] = []
        for task in (self._archive, self._trim, self._sweep, self._bury, self._fold):
            try:
                await task()
            except Outage as error:
                outages.append(error)
            except Exception:  # noqa: BLE001 - it is logged; the other tasks run
                log.exception(
                    "%s: %s failed; the other tasks continue", self.name, task.__name__[1:]
                )
        if outages:
            raise outages[0]

    async def _archive(self) -> None:
        """Archive in batches while a batch is full and some of it could be moved."""
        older_than = self._clock.now_ms() - self._failed_ms
        while True:
            jobs = await self._control.to_archive(older_than=older_than, limit=BATCH)
            moved = await self._transfer.move(jobs)
            if len(jobs) < BATCH or not moved:
                return

    async def _trim(self) -> None:
        while await self._control.trim(limit=BATCH) >= BATCH:
            pass

    async def _sweep(self) -> None:
        """Apply the retention of completed and cancelled jobs to the archive, in bounded steps."""
        before = self._clock.now_ms() - self._completed_ms
        while True:
            removed, self._sweep_cursor = await self._store.sweep(
                before=before, limit=BATCH, cursor=self._sweep_cursor
            )
            if removed < BATCH // 2 or self._sweep_cursor is None:
                return

    async def _bury(self) -> None:
        older_than = self._clock.now_ms() - self._unserved_ms
        await self._control.bury_unserved(older_than=older_than, limit=BATCH)

    async def _fold(self) -> None:
        await self._analytics.fold()
