"""The broker over Redis: each method is one script for all of its jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from hms_svc.brokers.chunks import chunks
from hms_svc.brokers.redis.acceptance import Acceptor
from hms_svc.brokers.redis.exchange import Argument
from hms_svc.brokers.redis.healer import Healer
from hms_svc.brokers.redis.idle_waiter import IdleWaiter
from hms_svc.brokers.redis.intake import Intake
from hms_svc.brokers.redis.lease_keeper import RedisLeaseKeeper
from hms_svc.brokers.redis.link import Link, new_nonce
from hms_svc.brokers.redis.record import Record, digest_of, keyed_envelope, worker_field
from hms_svc.brokers.redis.settlement import settle_arguments
from hms_svc.brokers.settlement_events import as_cancelled
from hms_svc.brokers.unreported_ends import Effects
from hms_svc.brokers.worker_views import read_request
from hms_svc.domain.job import ClaimedJob, Job, Lane, LeaseToken
from hms_svc.domain.lifecycle import DELAYED
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

_CHECK_SECONDS: Final = 5.0
"""How often a worker polls for signals although it is subscribed to notifications."""
_PROMOTE_SECONDS: Final = 1.0
_QUIET: Final = Signals((), suspects_wait=False)


class _Claim(msgspec.Struct, frozen=True):
    """A claim in progress: its nonce, and when it was first sent (Unix ms)."""

    nonce: str
    at: int


class RedisBroker:
    """Implements `ports.broker.Broker` for a fleet that shares one Redis."""

    def __init__(self, link: Link, complete: Callable[[Job], Job] | None = None) -> None:
        self._link = link
        self._acceptor = Acceptor(link)
        self._intake = Intake(link, complete)
        self._idle_waiter = IdleWaiter(link)
        self._healer = Healer(link, self._intake)
        self._next_type = 0
        self._last_request: ClaimRequest | None = None
        self._unsure_claims: dict[Lane, _Claim] = {}
        self._unsure_marks: dict[int, str] = {}
        self._next_check = 0.0
        self._promote_after = 0.0

    async def open(self) -> None:
        """Connect and check the server."""
        await self._link.open()

    async def close(self) -> None:
        """End the waits and disconnect."""
        await self._intake.close()
        await self._idle_waiter.close()
        await self._link.close()

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Accept jobs; the script notifies waiting workers."""
        return await self._acceptor.enqueue(jobs)

    async def enqueue_raw(self, type: str, items: Sequence[bytes]) -> list[Enqueued]:
        """Accept foreign bytes."""
        return await self._acceptor.enqueue_raw(type, items)

    async def claim(self, request: ClaimRequest) -> list[ClaimedJob]:
        """Lease ready jobs; each claim begins with another type.

        A claim whose reply was lost is repeated with its nonce, so that no job is stranded.
        """
        self._last_request = request
        if request.lane is Lane.NORMAL:
            self._intake.watch(served.type for served in request.types)
        began = self._link.clock.lease_ms()
        claim = self._unsure_claims.pop(request.lane, None) or self._new_claim()
        most = {served.type: served.max_attempts for served in request.types}
        try:
            rows = await self._link.run(
                "claim", worker_field(request.worker), claim.at, request.lease_ms, request.limit,
                int(request.lane is Lane.SUSPECT), *self._rotated(request), nonce=claim.nonce,
            )  # fmt: skip
        except BaseException:
            self._unsure_claims[request.lane] = claim
            raise
        records = [
            Record(job_id.decode(), text)
            for job_id, text in zip(rows[::2], rows[1::2], strict=True)
        ]
        until = began + request.lease_ms
        return [
            record.claimed(now=claim.at, lease_until=until, most=most.get(record.type, 0))
            for record in records
        ]

    def _new_claim(self) -> _Claim:
        return _Claim(new_nonce(), self._link.clock.now_ms())

    def _rotated(self, request: ClaimRequest) -> list[str | int]:
        self._next_type = (self._next_type + 1) % max(1, len(request.types))
        types = request.types[self._next_type :] + request.types[: self._next_type]
        return [
            argument
            for served in types
            if served.capacity != 0
            for argument in (
                served.type,
                served.max_attempts,
                request.limit if served.capacity is None else served.capacity,
            )
        ]

    async def take_keys(self, claims: Sequence[KeyClaim]) -> list[str | None]:
        """Assign claimed jobs their unique keys, in one script."""
        arguments = [
            argument
            for wanted in claims
            for argument in (
                wanted.claimed.token.job_id, wanted.claimed.token.fence, digest_of(wanted.unique_key),
                keyed_envelope(wanted.claimed.job, wanted.unique_key),
            )
        ]  # fmt: skip
        holders = await self._link.run("take_keys", *arguments)
        return [holder.decode() or None for holder in holders]

    async def settle(self, settlements: Sequence[Settlement]) -> list[LeaseToken]:
        """Settle claimed jobs; those with a cancel request in a second step.

        A settlement whose reply was lost keeps its mark for the repetition.
        """
        fences = [done.token.fence for done in settlements]
        marks = {fence: self._unsure_marks.pop(fence, "") or new_nonce() for fence in fences}
        try:
            refused = []
            for some in chunks(settlements, _size_of):
                refused_now, requested = await self._settle(some, marks)
                again = (await self._settle(requested, marks))[0] if requested else []
                refused += refused_now + again
        except BaseException:
            self._unsure_marks |= marks
            raise
        self._expect_due(settlements)
        return refused

    async def _settle(
        self, settlements: Sequence[Settlement], marks: dict[int, str]
    ) -> tuple[list[LeaseToken], list[Settlement]]:
        refused: list[LeaseToken] = []
        requested: list[Settlement] = []
        while settlements:
            arguments = [
                argument
                for done in settlements
                for argument in settle_arguments(done, marks[done.token.fence])
            ]
            examined_at, answers = await self._link.run("settle", *arguments)
            for place, request in answers:
                if request:
                    by, detail = msgspec.json.decode(request)
                    requested.append(as_cancelled(settlements[place - 1], by, detail))
                else:
                    refused.append(settlements[place - 1].token)
            settlements = settlements[examined_at:]
        return refused, requested

    def _expect_due(self, settlements: Sequence[Settlement]) -> None:
        """Promote again no later than when one of these jobs is due."""
        delays = [
            done.disposition.delay_ms for done in settlements if done.disposition.state in DELAYED
        ]
        if delays:
            due = time.monotonic() + min(delays) / 1000
            self._promote_after = min(self._promote_after, due)

    async def raise_fences(self, above: int) -> None:
        """Raise the counter of fences; never lower it."""
        await self._link.run("raise_fences", above)

    async def abandon(self, worker: str) -> int:
        """End the leases of a dead worker."""
        return int(await self._link.run("abandon", worker_field(worker)))

    async def promote(self, limit: int) -> int:
        """Make due jobs ready; do nothing until the next one is due, for at most a second."""
        if not self._link.has_own_clock and time.monotonic() < self._promote_after:
            return 0
        total, more = 0, True
        while more and total < limit:
            moved, ahead_ms = await self._link.run("promote", limit - total)
            total, more = total + moved, bool(moved) and int(ahead_ms) == 0
        self._promote_after = time.monotonic() + min(int(ahead_ms) / 1000, _PROMOTE_SECONDS)
        return total

    async def reap(
        self, limit: int, known: Mapping[str, KnownEffects] = NOTHING_KNOWN
    ) -> ReapReport:
        """Recover jobs with expired leases; then repair indexes and find intakes of unknown types."""
        reap_arguments = [
            argument
            for job_id, effects in known.items()
            for argument in (
                job_id,
                effects.fence,
                Effects.CASE if effects.has_case else Effects.NONE,
            )
        ]
        report = await self._reap(limit, reap_arguments)
        if report.rescued:
            self._idle_waiter.notify()
        await self._healer.run_once()
        return report

    async def _reap(self, limit: int, known: Sequence[Argument]) -> ReapReport:
        """Run the script until `limit` jobs are recovered, or all with expired leases."""
        rescued = dead = cancelled = found = 0
        undecided: dict[str, int] = {}
        more = True
        while more and found < limit:
            answer = await self._link.run("reap", limit - found, *known)
            undecided |= {
                job_id.decode(): int(fence)
                for job_id, fence in zip(answer[4::2], answer[5::2], strict=True)
            }
            taken = sum(answer[:3])
            rescued, dead, cancelled = rescued + answer[0], dead + answer[1], cancelled + answer[2]
            found, more = found + taken, bool(taken and answer[3])
        return ReapReport(rescued, dead, cancelled, tuple(undecided.items()))

    async def signals(self, worker: str, types: Sequence[str]) -> Signals:
        """Return the requests; Redis is read only after a notification, and every few seconds."""
        now = time.monotonic()
        if not (
            self._idle_waiter.must_poll or self._idle_waiter.take_news() or now >= self._next_check
        ):
            return _QUIET
        self._next_check = now + _CHECK_SECONDS
        suspects, request, *requests = await self._link.run("signals", worker_field(worker), *types)
        cancel = tuple(
            CancelRequest(job_id.decode(), *msgspec.json.decode(request))
            for job_id, request in zip(requests[::2], requests[1::2], strict=True)
        )
        wanted = read_request(request).state if request else None
        return Signals(cancel, suspects_wait=bool(suspects), wanted=wanted)

    async def record_progress(self, reports: Sequence[ProgressReport]) -> None:
        """Append progress and log lines of running jobs."""
        arguments = [
            argument
            for report in reports
            for argument in (
                report.token.job_id, report.token.fence, report.at,
                "" if report.share is None else repr(report.share), report.message, int(report.log),
            )
        ]  # fmt: skip
        await self._link.run("progress", *arguments)

    def lease_keeper(self) -> RedisLeaseKeeper:
        """Return a lease keeper with its own connection, for the heartbeat thread."""
        return RedisLeaseKeeper(self._link)

    async def unregister(self, worker: str) -> None:
        """Remove a worker from the register."""
        await self._link.run("unregister", worker_field(worker))

    async def wait_for_work(self, timeout_seconds: float) -> bool:
        """Wait until this worker is notified of jobs of the types that its last claim had capacity for."""
        request = self._last_request
        if request is None:
            return True
        types = [served.type for served in request.types if served.capacity != 0]
        lane = int(request.lane is Lane.SUSPECT)
        return await self._idle_waiter.wait(
            worker_field(request.worker), lane, types, timeout_seconds
        )


def _size_of(done: Settlement) -> int:
    return len(done.disposition.result or b"") + len(done.disposition.detail)
