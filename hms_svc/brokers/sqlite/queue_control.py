"""The operator's changes to queues, schedules, batches and workers."""

from __future__ import annotations

import msgspec

from hms_svc.brokers.sqlite import batches, schedules
from hms_svc.brokers.sqlite.inspector import SQL
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.domain.views import WorkerRequest
from hms_svc.ports.control import ClosedBatch
from hms_svc.sqlite.wake_socket import ANY_WORK


class QueueControl:
    """The part of `ports.control.Control` that acts on no single jobs."""

    def __init__(self, file: QueueFile) -> None:
        self._file = file

    async def pause(self, type: str, *, by: str, reason: str, intake: bool = False) -> None:
        """Mark a queue as paused."""
        await self._file.write(
            lambda transaction: transaction.connection.execute(
                SQL["pause"], (by, reason, intake, transaction.queue(type))
            )
        )

    async def resume(self, type: str) -> None:
        """Clear the mark and notify the workers."""
        await self._file.write(
            lambda transaction: transaction.connection.execute(
                SQL["pause"], (None, "", False, transaction.queue(type))
            ),
            notify=ANY_WORK,
        )

    async def pause_schedule(self, type: str, *, by: str, reason: str) -> bool:
        """Mark a schedule as paused."""
        now = self._file.clock.now_ms()
        return await self._file.write(
            lambda transaction: schedules.pause(transaction, type, by, reason, now)
        )

    async def resume_schedule(self, type: str) -> bool:
        """Clear the mark."""
        return await self.pause_schedule(type, by="", reason="")

    async def close_batch(self, batch_id: str, *, by: str) -> ClosedBatch:
        """Close an open batch."""
        now = self._file.clock.now_ms()
        return await self._file.write(
            lambda transaction: batches.close(transaction, batch_id, by, now)
        )

    async def ask_worker(self, worker: str, request: WorkerRequest) -> bool:
        """Store the request with the worker's registration, where its next poll for signals finds it."""
        row = (msgspec.json.encode(request), worker)
        return await self._file.write(
            lambda transaction: transaction.connection.execute(SQL["ask_worker"], row).rowcount == 1
        )
