"""Retention by memory: while the broker runs short of it, what ended first moves to the archive."""

from __future__ import annotations

from typing import Final

from hms_svc.ports.control import Control, Eviction
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.stores import Database
from hms_svc.runtime.archive_transfer import HandingOver
from hms_svc.runtime.archiver import BATCH
from hms_svc.runtime.loop import Service, log

BEGIN_SHARE: Final = 0.8
"""Which part of the broker's memory is used when room is made."""
END_SHARE: Final = 0.7
"""Down to which part."""
CHECK_SECONDS: Final = 5.0
_OUTBOX_ROWS: Final = 1000
"""Beyond the rows that relays may be carrying: what is older has been marked."""


class MemoryRetention(Service):
    """Every five seconds: above the one share, moves jobs until the other is reached.

    Completed jobs go first, then cancelled ones, then events that every group has
    handled. Each job is in the archive before it leaves the broker. One that the
    outbox still names stays: without its record it would be enqueued again.
    """

    def __init__(
        self, eviction: Eviction, control: Control, inspection: Inspection, database: Database
    ) -> None:
        super().__init__(interval_seconds=CHECK_SECONDS)
        self._eviction = eviction
        self._database = database
        self._handing_over = HandingOver(control, inspection, database)
        self._has_complained = False

    async def run_once(self) -> None:
        """Make room where it is short, a bounded portion at a time."""
        if await self._share() < BEGIN_SHARE:
            self._has_complained = False
            return
        moved = trimmed = 0
        while not self._stopping and await self._share() > END_SHARE:
            if count := await self._move():
                moved += count
            elif count := await self._eviction.trim_handled(limit=BATCH):
                trimmed += count
            else:
                break
        if moved or trimmed:
            log.info(
                "room made in the broker: %d ended jobs moved to the archive, %d events removed",
                moved, trimmed,
            )  # fmt: skip
        await self._complain()

    async def _share(self) -> float:
        capacity = await self._eviction.capacity()
        return capacity.share if capacity is not None else 0.0

    async def _move(self) -> int:
        jobs = await self._eviction.ended_first(limit=BATCH)
        rows = await self._database.outbox(_OUTBOX_ROWS) if jobs else []
        named = {row.job.id for row in rows if row.job is not None}
        return await self._handing_over.move([job for job in jobs if job.view.id not in named])

    async def _complain(self) -> None:
        capacity = await self._eviction.capacity()
        if capacity is None or capacity.share < BEGIN_SHARE or self._has_complained:
            return
        self._has_complained = True
        log.warning(
            "the broker uses %d of %d bytes, and nothing is left to move to the archive: jobs that wait, "
            "have failed or ended within the last minute, events, or what others keep there take the room",
            capacity.used, capacity.limit,
        )  # fmt: skip
