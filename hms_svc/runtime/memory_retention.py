"""Retention by memory: when the broker runs short of it, the oldest finished jobs are archived."""

from __future__ import annotations

from typing import Final

from hms_svc.ports.control import Eviction
from hms_svc.ports.stores import OutboxStore
from hms_svc.runtime.archive_transfer import ArchiveTransfer
from hms_svc.runtime.archiver import BATCH
from hms_svc.runtime.loop import Service, log

BEGIN_SHARE: Final = 0.8
"""The share of used memory above which memory is freed."""
END_SHARE: Final = 0.7
"""The share of used memory down to which memory is freed."""
CHECK_SECONDS: Final = 5.0
_OUTBOX_ROWS: Final = 1000
"""More rows than relays may be delivering at a time: older rows are marked as published."""


class MemoryRetention(Service):
    """Checks every five seconds: above BEGIN_SHARE, moves jobs until END_SHARE is reached.

    Completed jobs go first, then cancelled ones, then events that every group has
    handled. Each job is in the archive before it leaves the broker. A job in the outbox
    stays: without its record it would be enqueued again.
    """

    def __init__(self, eviction: Eviction, outbox: OutboxStore, transfer: ArchiveTransfer) -> None:
        super().__init__(interval_seconds=CHECK_SECONDS)
        self._eviction = eviction
        self._outbox = outbox
        self._transfer = transfer
        self._has_warned = False

    async def run_once(self) -> None:
        """Free memory if it is short, in bounded steps."""
        if await self._share() < BEGIN_SHARE:
            self._has_warned = False
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
                "memory freed in the broker: %d finished jobs moved to the archive, %d events removed",
                moved,
                trimmed,
            )
        await self._warn()

    async def _share(self) -> float:
        capacity = await self._eviction.capacity()
        return capacity.share if capacity is not None else 0.0

    async def _move(self) -> int:
        jobs = await self._eviction.ended_first(limit=BATCH)
        rows = await self._outbox.waiting(_OUTBOX_ROWS) if jobs else []
        in_outbox = {row.job.id for row in rows if row.job is not None}
        return await self._transfer.move([job for job in jobs if job.view.id not in in_outbox])

    async def _warn(self) -> None:
        capacity = await self._eviction.capacity()
        if capacity is None or capacity.share < BEGIN_SHARE or self._has_warned:
            return
        self._has_warned = True
        log.warning(
            "the broker uses %d of %d bytes, and no more jobs can be moved to the archive: the memory is "
            "used by waiting or failed jobs, jobs that ended in the last minute, events, or other programs",
            capacity.used,
            capacity.limit,
        )
