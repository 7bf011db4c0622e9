"""Retention: what has ended long ago moves to the archive or goes."""

from __future__ import annotations

from typing import Final

from hms_svc.domain.errors import Outage
from hms_svc.ports.clock import Clock
from hms_svc.ports.control import Control
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.stores import Database
from hms_svc.runtime.archive_transfer import HandingOver
from hms_svc.runtime.loop import Service, log

BATCH: Final = 500
DAY_MS: Final = 86_400_000


class Archiver(Service):
    """Once a minute: archive first, then forget; trim here and there; bury what nobody serves; fold.

    The chores do not depend on each other, nor on a record that one of them cannot take.
    """

    def __init__(
        self,
        control: Control,
        inspection: Inspection,
        database: Database,
        clock: Clock,
        *,
        completed_days: float,
        failed_days: float,
        unserved_days: float,
    ) -> None:
        super().__init__(interval_seconds=60.0)
        self._control = control
        self._database = database
        self._handing_over = HandingOver(control, inspection, database)
        self._clock = clock
        self._completed_ms = int(completed_days * DAY_MS)
        self._archive_seen: str | None = None
        self._failed_ms = int(failed_days * DAY_MS)
        self._unserved_ms = int(unserved_days * DAY_MS)

    async def run_once(self) -> None:
        """Do one round of each chore; an Outage is raised when all have had their turn."""
        outages: list[Outage] = []
        for chore in (self._archive, self._trim, self._sweep, self._bury, self._fold):
            try:
                await chore()
            except Outage as error:
                outages.append(error)
            except Exception:  # noqa: BLE001 - it is logged; the other chores have their turn
                log.exception("%s: %s failed; the rest goes on", self.name, chore.__name__[1:])
        if outages:
            raise outages[0]

    async def _archive(self) -> None:
        """Archive in batches, again while one came back full and something of it could be kept."""
        older_than = self._clock.now_ms() - self._failed_ms
        while True:
            jobs = await self._control.to_archive(older_than=older_than, limit=BATCH)
            moved = await self._handing_over.move(jobs)
            if len(jobs) < BATCH or not moved:
                return

    async def _trim(self) -> None:
        while await self._control.trim(limit=BATCH) >= BATCH:
            pass

    async def _sweep(self) -> None:
        """Walk on through the archive: what it has of completed and cancelled jobs ends as in the broker."""
        before = self._clock.now_ms() - self._completed_ms
        while True:
            removed, self._archive_seen = await self._database.sweep_archive(
                before=before, limit=BATCH, cursor=self._archive_seen
            )
            if removed < BATCH // 2 or self._archive_seen is None:
                return

    async def _bury(self) -> None:
        older_than = self._clock.now_ms() - self._unserved_ms
        await self._control.bury_unserved(older_than=older_than, limit=BATCH)

    async def _fold(self) -> None:
        await self._database.fold_analytics()
