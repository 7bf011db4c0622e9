"""The broker over the queue file: each method is one function on the writer thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hms_svc.brokers.portions import portions
from hms_svc.brokers.register import read_wish
from hms_svc.brokers.sqlite import claiming, enqueueing, settling
from hms_svc.brokers.sqlite.heart import SQLiteHeart
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.brokers.sqlite.transaction import SQL
from hms_svc.domain.job import ClaimedJob, Job, LeaseToken
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import (
    NOTHING_KNOWN,
    CancelRequest,
    ClaimRequest,
    Enqueued,
    KeyClaim,
    KnownEffects,
    ProgressReport,
    ReapReport,
    Settlement,
    Signals,
)
from hms_svc.ports.side_thread import aside


class SQLiteBroker:
    """Implements `ports.broker.Broker` on one machine, for all processes that share the file."""

    def __init__(self, file: QueueFile) -> None:
        self._file = file
        self._clock = file.clock
        self._next_type = 0

    async def open(self) -> None:
        """Open the queue file."""
        await self._file.open()

    async def close(self) -> None:
        """Close the queue file."""
        await self._file.close()

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Accept jobs in transactions of bounded work, each all or none, and wake sleepers."""
        answers: list[Enqueued] = []
        for some in portions(jobs, lambda job: len(job.data)):
            answers += await self._enqueue(some)
        return answers

    async def _enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        now = self._clock.now_ms()
        return await self._file.write(
            lambda transaction: enqueueing.enqueue(transaction, jobs, now), rings="work"
        )

    async def enqueue_raw(self, type: str, items: Sequence[bytes]) -> list[Enqueued]:
        """Accept foreign bytes in transactions of bounded work, and wake sleepers."""
        answers: list[Enqueued] = []
        for some in portions(items, len):
            answers += await self._enqueue_raw(type, some)
        return answers

    async def _enqueue_raw(self, type: str, items: Sequence[bytes]) -> list[Enqueued]:
        now = self._clock.now_ms()
        size = sum(map(len, items))
        read = await aside(size, lambda: enqueueing.read_items(type, items, now))
        return await self._file.write(
            lambda transaction: enqueueing.enqueue_raw(transaction, type, read, now), rings="work"
        )

    async def claim(self, request: ClaimRequest) -> list[ClaimedJob]:
        """Lease ready jobs; another type comes first each time."""
        now, lease_now = self._clock.now_ms(), self._clock.lease_ms()
        self._next_type = (self._next_type + 1) % max(1, len(request.types))
        first = self._next_type
        return await self._file.write(
            lambda transaction: claiming.claim(transaction, request, first, now, lease_now)
        )

    async def take_keys(self, claims: Sequence[KeyClaim]) -> list[str | None]:
        """Give claimed jobs their unique keys."""
        return await self._file.write(lambda transaction: claiming.take_keys(transaction, claims))

    async def settle(self, settlements: Sequence[Settlement]) -> list[LeaseToken]:
        """Record what became of claimed jobs."""
        now = self._clock.now_ms()
        return await self._file.write(
            lambda transaction: settling.settle(transaction, settlements, now), rings="news"
        )

    async def raise_fences(self, above: int) -> None:
        """Lift the one counter of fences, never lower it."""
        statement = "UPDATE meta SET value = max(value, ?) WHERE name = 'fence'"
        await self._file.write(
            lambda transaction: transaction.connection.execute(statement, (above + 1,))
        )

    async def abandon(self, worker: str) -> int:
        """End the leases of a worker that is known to be gone."""
        return await self._file.write(
            lambda transaction: transaction.connection.execute(SQL["abandon"], (worker,)).rowcount
        )

    async def promote(self, limit: int) -> int:
        """Make due jobs ready, where there are any: a look costs no transaction."""
        now = self._clock.now_ms()
        if not await self._file.fetch(SQL["any_due"], (now,)):
            return 0
        return await self._file.write(
            lambda transaction: claiming.promote(transaction, limit, now), rings="work"
        )

    async def reap(
        self, limit: int, known: Mapping[str, KnownEffects] = NOTHING_KNOWN
    ) -> ReapReport:
        """Take back jobs whose lease has run out, where there are any."""
        now, lease_now = self._clock.now_ms(), self._clock.lease_ms()
        if not await self._file.fetch(SQL["lapsed"], {"now": lease_now, "limit": 1}):
            return ReapReport()
        return await self._file.write(
            lambda transaction: claiming.reap(transaction, limit, now, lease_now, known),
            rings="work",
        )

    async def signals(self, worker: str, types: Sequence[str]) -> Signals:
        """Look for cancellations and suspects."""
        bounds = {"worker": worker, "types": encode(list(types)).decode()}
        rows = await self._file.fetch(SQL["signals"], bounds)
        cancel = tuple(CancelRequest(*row[:3]) for row in rows if row[0] is not None)
        wishes = [row[3] for row in rows if row[3] is not None]
        wanted = read_wish(wishes[0]).state if wishes else None
        return Signals(cancel, suspects_wait=len(cancel) + len(wishes) < len(rows), wanted=wanted)

    async def record_progress(self, reports: Sequence[ProgressReport]) -> None:
        """Append progress and log lines of running jobs."""
        await self._file.write(
            lambda transaction: settling.record_progress(transaction, reports), rings="news"
        )

    def heart(self) -> SQLiteHeart:
        """Give a second writing connection, for the heartbeat thread."""
        return SQLiteHeart(self._file)

    async def unregister(self, worker: str) -> None:
        """Take a worker out of the register."""
        await self._file.write(
            lambda transaction: transaction.connection.execute(
                "DELETE FROM workers WHERE id = ?", (worker,)
            )
        )

    async def wait_for_work(self, timeout_seconds: float) -> bool:
        """Sleep until somebody rings."""
        return await self._file.wait(timeout_seconds)
