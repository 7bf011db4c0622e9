"""The broker over the queue file: each method is one function on the writer thread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from hms_svc.brokers.chunks import chunks
from hms_svc.brokers.limits import LOOKS_AT_ONCE
from hms_svc.brokers.sqlite import (
    batches,
    enqueue,
    job_claims,
    lapsed_leases,
    schedules,
    settlement,
    type_limits,
)
from hms_svc.brokers.sqlite import steps as step_results
from hms_svc.brokers.sqlite.lease_keeper import SQLiteLeaseKeeper
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.brokers.sqlite.transaction import SQL
from hms_svc.brokers.type_turns import TypeTurns
from hms_svc.brokers.worker_views import read_request
from hms_svc.domain.batches import NewBatch
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.job import ClaimedJob, Job, LeaseToken
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import (
    NOTHING_KNOWN,
    Acceptance,
    CancelRequest,
    ClaimRequest,
    Enqueued,
    EnqueuedBatch,
    KnownEffects,
    ProgressReport,
    ReapReport,
    Settlement,
    Signals,
)
from hms_svc.ports.key_claims import KeyClaim, PlaceClaim
from hms_svc.ports.schedules import DecidedRuns, DueRuns
from hms_svc.ports.side_thread import aside
from hms_svc.ports.step_results import Kept, StepRecord
from hms_svc.sqlite.wake_socket import ANY_WORK, NEWS


class SQLiteBroker:
    """Implements `ports.broker.Broker` on one machine, for all processes that share the file."""

    def __init__(self, file: QueueFile) -> None:
        self._file = file
        self._clock = file.clock
        self._turns = TypeTurns()
        self._room_at = math.inf

    async def open(self) -> None:
        """Open the queue file."""
        await self._file.open()

    async def close(self) -> None:
        """Close the queue file."""
        await self._file.close()

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Accept jobs in transactions of bounded size, each all or none, and notify waiting workers."""
        answers: list[Enqueued] = []
        for some in chunks(jobs, lambda job: len(job.data)):
            answers += await self._enqueue(some)
        return answers

    async def _enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        now = self._clock.now_ms()
        return await self._file.write(
            lambda transaction: enqueue.enqueue(transaction, jobs, now),
            notify=frozenset(job.type for job in jobs),
        )

    async def enqueue_batch(self, batch: NewBatch) -> EnqueuedBatch:
        """Accept a batch in transactions of bounded size, each all or none, and notify waiting workers."""
        pieces = list(chunks(batch.members, lambda job: len(job.data))) or [()]
        for number, jobs in enumerate(pieces, 1):
            write = partial(
                batches.accept,
                batch=batch,
                jobs=jobs,
                now=self._clock.now_ms(),
                is_first=number == 1,
                is_last=number == len(pieces),
            )
            found = await self._file.write(write, notify=ANY_WORK)
            if found is None:
                raise BrokerUnavailable(
                    f"queue file {self._file.path}: batch {batch.id} is gone while it was submitted"
                )
            answer = found
            if answer.acceptance is not Acceptance.ACCEPTED:
                break
        return answer

    async def enqueue_raw(self, type: str, items: Sequence[bytes]) -> list[Enqueued]:
        """Accept foreign bytes in transactions of bounded size, and notify waiting workers."""
        answers: list[Enqueued] = []
        for some in chunks(items, len):
            answers += await self._enqueue_raw(type, some)
        return answers

    async def _enqueue_raw(self, type: str, items: Sequence[bytes]) -> list[Enqueued]:
        now = self._clock.now_ms()
        size = sum(map(len, items))
        read = await aside(size, lambda: enqueue.read_items(type, items, now))
        return await self._file.write(
            lambda transaction: enqueue.enqueue_raw(transaction, type, read, now), notify=ANY_WORK
        )

    async def decide_runs(self, due: Sequence[DueRuns]) -> list[DecidedRuns]:
        """Begin or skip due runs of schedules."""
        now = self._clock.now_ms()
        return await self._file.write(
            lambda transaction: schedules.decide_runs(transaction, due, now), notify=ANY_WORK
        )

    async def run_now(self, job: Job) -> str:
        """Begin a run of a schedule."""
        now = self._clock.now_ms()
        return await self._file.write(
            lambda transaction: schedules.run_now(transaction, job, now), notify=ANY_WORK
        )

    async def claim(self, request: ClaimRequest) -> list[ClaimedJob]:
        """Lease ready jobs; the types take turns."""
        now, lease_now = self._clock.now_ms(), self._clock.lease_ms()
        types = self._turns.order(request.types)
        self._file.wake_socket.serve(served.type for served in types)
        claimed, ahead_ms = await self._file.write(
            lambda transaction: job_claims.claim(transaction, request, types, now, lease_now)
        )
        self._turns.note(types, (job.job.type for job in claimed), request.limit)
        self._room_at = math.inf if ahead_ms is None else lease_now + ahead_ms
        return claimed

    async def take_keys(self, claims: Sequence[KeyClaim]) -> list[str | None]:
        """Assign claimed jobs their unique keys."""
        now = self._clock.now_ms()
        return await self._file.write(
            lambda transaction: job_claims.take_keys(transaction, claims, now)
        )

    async def take_places(self, claims: Sequence[PlaceClaim]) -> list[bool]:
        """Let claimed jobs in by the limits with a key."""
        lease_now = self._clock.lease_ms()
        return await self._file.write(
            lambda transaction: type_limits.take_places(transaction, claims, lease_now)
        )

    async def settle(self, settlements: Sequence[Settlement]) -> list[LeaseToken]:
        """Settle claimed jobs."""
        now = self._clock.now_ms()
        return await self._file.write(
            lambda transaction: settlement.settle(transaction, settlements, now), notify=NEWS
        )

    async def keep_steps(self, steps: Sequence[StepRecord]) -> list[Kept]:
        """Keep results of steps, in transactions of bounded size."""
        answers: list[Kept] = []
        for some in chunks(steps, lambda step: len(step.value)):
            answers += await self._file.write(partial(step_results.keep_steps, steps=some))
        return answers

    async def steps_of(self, job_ids: Sequence[str]) -> list[dict[str, bytes]]:
        """Read the steps of each job."""
        found: dict[str, dict[str, bytes]] = {job_id: {} for job_id in job_ids}
        for job_id, name, value in await self._file.fetch(
            SQL["steps_of"], (encode(list(job_ids)).decode(),)
        ):
            found[job_id][name] = value
        return [found[job_id] for job_id in job_ids]

    async def raise_fences(self, above: int) -> None:
        """Raise the counter of fences; never lower it."""
        statement = "UPDATE meta SET value = max(value, ?) WHERE name = 'fence'"
        await self._file.write(
            lambda transaction: transaction.connection.execute(statement, (above + 1,))
        )

    async def abandon(self, worker: str) -> int:
        """End the leases of a dead worker."""
        return await self._file.write(
            lambda transaction: transaction.connection.execute(SQL["abandon"], (worker,)).rowcount
        )

    async def promote(self, limit: int) -> int:
        """Make due jobs ready, and let in those whose limit has room; whether there are any needs no transaction."""
        now, lease_now = self._clock.now_ms(), self._clock.lease_ms()
        bounds = {"now": now, "lease_now": lease_now}
        [(jobs, limits)] = await self._file.fetch(SQL["any_due"], bounds)
        looks = 0
        while limits and looks < LOOKS_AT_ONCE:
            looks += 1
            limits = await self._file.write(
                lambda transaction: type_limits.look_at_limits(transaction, now, lease_now)
            )
        if not jobs:
            return 0
        return await self._file.write(
            lambda transaction: job_claims.promote(transaction, limit, now), notify=ANY_WORK
        )

    async def reap(
        self, limit: int, known: Mapping[str, KnownEffects] = NOTHING_KNOWN
    ) -> ReapReport:
        """Recover jobs whose lease has expired, if there are any."""
        now, lease_now = self._clock.now_ms(), self._clock.lease_ms()
        if not await self._file.fetch(SQL["lapsed"], {"now": lease_now, "limit": 1}):
            return ReapReport()
        return await self._file.write(
            lambda transaction: lapsed_leases.reap(transaction, limit, now, lease_now, known),
            notify=ANY_WORK,
        )

    async def signals(self, worker: str, types: Sequence[str]) -> Signals:
        """Return cancel requests, waiting suspects, and an operator's request."""
        bounds = {"worker": worker, "types": encode(list(types)).decode()}
        rows = await self._file.fetch(SQL["signals"], bounds)
        cancel = tuple(CancelRequest(*row[:3]) for row in rows if row[0] is not None)
        requests = [row[3] for row in rows if row[3] is not None]
        wanted = read_request(requests[0]).state if requests else None
        return Signals(cancel, suspects_wait=len(cancel) + len(requests) < len(rows), wanted=wanted)

    async def record_progress(self, reports: Sequence[ProgressReport]) -> None:
        """Append progress and log lines of running jobs."""
        await self._file.write(
            lambda transaction: settlement.record_progress(transaction, reports), notify=NEWS
        )

    def lease_keeper(self) -> SQLiteLeaseKeeper:
        """Return a lease keeper with a second writing connection, for the heartbeat thread."""
        return SQLiteLeaseKeeper(self._file)

    async def unregister(self, worker: str) -> None:
        """Remove a worker from the register."""
        await self._file.write(
            lambda transaction: transaction.connection.execute(
                "DELETE FROM workers WHERE id = ?", (worker,)
            )
        )

    async def wait_for_work(self, timeout_seconds: float) -> bool:
        """Wait until another process notifies, until a limit may let more jobs begin, or for the timeout."""
        until_room = (self._room_at - self._clock.lease_ms()) / 1000
        if until_room >= timeout_seconds:
            return await self._file.wait(timeout_seconds)
        await self._file.wait(max(until_room, 0.001))
        return True
