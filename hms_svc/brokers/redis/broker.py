"""The broker over Redis: each method is one script for all of its jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from hms_svc.brokers.chunks import chunks
from hms_svc.brokers.limits import LOOKS_AT_ONCE, MOST_STEPS
from hms_svc.brokers.redis import job_calls, schedule_calls, worker_calls
from hms_svc.brokers.redis.acceptance import Acceptor
from hms_svc.brokers.redis.healer import Healer
from hms_svc.brokers.redis.idle_waiter import IdleWaiter
from hms_svc.brokers.redis.intake import Intake
from hms_svc.brokers.redis.keys import worker_field
from hms_svc.brokers.redis.lease_keeper import RedisLeaseKeeper
from hms_svc.brokers.redis.link import Link, new_mark, new_nonce
from hms_svc.brokers.redis.record import keyed_envelope
from hms_svc.brokers.redis.settlement import settle_call
from hms_svc.brokers.redis.unique_keys import digest_of, rule_row
from hms_svc.brokers.settlement_events import as_cancelled
from hms_svc.brokers.type_turns import TypeTurns
from hms_svc.brokers.unreported_ends import Effects, effects_of
from hms_svc.brokers.worker_views import read_request
from hms_svc.domain.batches import NewBatch
from hms_svc.domain.job import ClaimedJob, Job, Lane, LeaseToken
from hms_svc.domain.lifecycle import DELAYED
from hms_svc.ports.broker import (
    NOTHING_KNOWN,
    ClaimRequest,
    Enqueued,
    EnqueuedBatch,
    KnownEffects,
    ProgressReport,
    ReapReport,
    ServedType,
    Settlement,
    Signals,
)
from hms_svc.ports.key_claims import KeyClaim, PlaceClaim
from hms_svc.ports.schedules import DecidedRuns, DueRuns
from hms_svc.ports.step_results import Kept, StepRecord

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
        self._turns = TypeTurns()
        self._last_request: ClaimRequest | None = None
        self._unsure_claims: dict[Lane, _Claim] = {}
        self._unsure_marks: dict[int, int] = {}
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

    async def enqueue_batch(self, batch: NewBatch) -> EnqueuedBatch:
        """Accept a batch, in as few scripts as its size allows."""
        return await self._acceptor.enqueue_batch(batch)

    async def enqueue_raw(self, type: str, items: Sequence[bytes]) -> list[Enqueued]:
        """Accept foreign bytes."""
        return await self._acceptor.enqueue_raw(type, items)

    async def decide_runs(self, due: Sequence[DueRuns]) -> list[DecidedRuns]:
        """Begin or skip due runs of schedules."""
        return await self._link.run(schedule_calls.decide_runs(due))

    async def run_now(self, job: Job) -> str:
        """Begin a run of a schedule."""
        return await self._link.run(schedule_calls.run_now(job, self._link.clock.now_ms()))

    async def claim(self, request: ClaimRequest) -> list[ClaimedJob]:
        """Lease ready jobs; the types take turns.

        A claim whose reply was lost is repeated with its nonce, so that no job is stranded.
        """
        self._last_request = request
        if request.lane is Lane.NORMAL:
            self._intake.watch(served.type for served in request.types)
        began = self._link.clock.lease_ms()
        claim = self._unsure_claims.pop(request.lane, None) or self._new_claim()
        types = self._turns.order(request.types)
        try:
            records = await self._link.run(
                job_calls.claim(
                    worker=worker_field(request.worker),
                    now=claim.at,
                    lease_ms=request.lease_ms,
                    limit=request.limit,
                    suspects=request.lane is Lane.SUSPECT,
                    types=self._rows_of(types, request.limit),
                ),
                nonce=claim.nonce,
            )
        except BaseException:
            self._unsure_claims[request.lane] = claim
            raise
        self._turns.note(types, (record.type for record in records), request.limit)
        until = began + request.lease_ms
        return [record.claimed(now=claim.at, lease_until=until) for record in records]

    def _new_claim(self) -> _Claim:
        return _Claim(new_nonce(), self._link.clock.now_ms())

    @staticmethod
    def _rows_of(types: Sequence[ServedType], limit: int) -> list[tuple[str, int, int]]:
        return [
            (
                served.type,
                served.max_attempts,
                limit if served.capacity is None else served.capacity,
            )
            for served in types
            if served.capacity != 0
        ]

    async def take_keys(self, claims: Sequence[KeyClaim]) -> list[str | None]:
        """Assign claimed jobs their unique keys, in one script."""
        rows = [
            (
                wanted.claimed.token.job_id,
                wanted.claimed.token.fence,
                digest_of(wanted.unique_key) if wanted.rule.until == "ended" else "",
                keyed_envelope(wanted.claimed.job, wanted.unique_key),
                rule_row(wanted.unique_key, wanted.rule),
            )
            for wanted in claims
        ]
        return [holder or None for holder in await self._link.run(job_calls.take_keys(rows))]

    async def take_places(self, claims: Sequence[PlaceClaim]) -> list[bool]:
        """Let claimed jobs in by the limits with a key, in one script."""
        rows = [
            (
                wanted.claimed.token.job_id,
                wanted.claimed.token.fence,
                wanted.lease_ms,
                [
                    (each.digest, each.number, each.limit.most, each.limit.window_ms, each.text)
                    for each in wanted.limits
                ],
            )
            for wanted in claims
        ]
        answers = await self._link.run(job_calls.take_places(rows))
        if any(answers):
            look_at = time.monotonic() + min(filter(None, answers)) / 1000
            self._promote_after = min(self._promote_after, look_at)
        return [answer == 0 for answer in answers]

    async def settle(self, settlements: Sequence[Settlement]) -> list[LeaseToken]:
        """Settle claimed jobs; those with a cancel request in a second step.

        A settlement whose reply was lost keeps its mark for the repetition.
        """
        fences = [done.token.fence for done in settlements]
        fresh = new_mark()
        marks = {fence: self._unsure_marks.pop(fence, fresh) for fence in fences}
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
        self, settlements: Sequence[Settlement], marks: dict[int, int]
    ) -> tuple[list[LeaseToken], list[Settlement]]:
        refused: list[LeaseToken] = []
        requested: list[Settlement] = []
        while settlements:
            settled = await self._link.run(settle_call(settlements, marks))
            refused += [settlements[index].token for index in settled.refused]
            requested += [
                as_cancelled(settlements[index], by, detail)
                for index, (by, detail) in settled.requested.items()
            ]
            settlements = settlements[settled.examined :]
        return refused, requested

    def _expect_due(self, settlements: Sequence[Settlement]) -> None:
        """Promote again no later than when one of these jobs is due."""
        delays = [
            done.disposition.delay_ms for done in settlements if done.disposition.state in DELAYED
        ]
        if delays:
            due = time.monotonic() + min(delays) / 1000
            self._promote_after = min(self._promote_after, due)

    async def keep_steps(self, steps: Sequence[StepRecord]) -> list[Kept]:
        """Keep results of steps, in scripts of bounded size."""
        answers: list[Kept] = []
        for some in chunks(steps, lambda step: len(step.value)):
            rows = [(step.token.job_id, step.token.fence, step.name, step.value) for step in some]
            kept = await self._link.run(job_calls.keep_steps(rows, MOST_STEPS))
            answers += map(Kept, kept)
        return answers

    async def steps_of(self, job_ids: Sequence[str]) -> list[dict[str, bytes]]:
        """Read the steps of each job."""
        names = [self._link.keys.ours("steps", job_id) for job_id in job_ids]
        found = await self._link.ask_all([("HGETALL", name) for name in names])
        return [_pairs(each) for each in found]

    async def raise_fences(self, above: int) -> None:
        """Raise the counter of fences; never lower it."""
        await self._link.run(job_calls.raise_fences(above))

    async def abandon(self, worker: str) -> int:
        """End the leases of a dead worker."""
        return await self._link.run(job_calls.abandon(worker_field(worker)))

    async def promote(self, limit: int) -> int:
        """Make due jobs ready, and let in those whose limit has room; do nothing until the next is due, for at most a second."""
        if not self._link.has_own_clock and time.monotonic() < self._promote_after:
            return 0
        total, looks, more = 0, 0, True
        while more:
            step = await self._link.run(job_calls.promote(limit - total))
            total, looks = total + step.moved, looks + step.more_limits
            more_jobs = bool(step.moved) and step.ahead_ms == 0 and total < limit
            more = more_jobs or (bool(step.more_limits) and looks < LOOKS_AT_ONCE)
        self._promote_after = time.monotonic() + min(step.ahead_ms / 1000, _PROMOTE_SECONDS)
        return total

    async def reap(
        self, limit: int, known: Mapping[str, KnownEffects] = NOTHING_KNOWN
    ) -> ReapReport:
        """Recover jobs with expired leases; then repair indexes and find intakes of unknown types."""
        report = await self._reap(
            limit, [(job_id, each.fence, effects_of(each)) for job_id, each in known.items()]
        )
        if report.rescued:
            self._idle_waiter.notify()
        await self._healer.run_once()
        return report

    async def _reap(self, limit: int, known: Sequence[tuple[str, int, Effects]]) -> ReapReport:
        """Run the script until `limit` jobs are recovered, or all with expired leases."""
        rescued = dead = cancelled = found = 0
        undecided: dict[str, int] = {}
        more = True
        while more and found < limit:
            step = await self._link.run(job_calls.reap(limit - found, known))
            report = step.report
            undecided |= dict(report.undecided)
            taken = report.rescued + report.dead + report.cancelled
            rescued, dead = rescued + report.rescued, dead + report.dead
            cancelled += report.cancelled
            found, more = found + taken, step.more and taken > 0
        return ReapReport(rescued, dead, cancelled, tuple(undecided.items()))

    async def signals(self, worker: str, types: Sequence[str]) -> Signals:
        """Return the requests; Redis is read only after a notification, and every few seconds."""
        now = time.monotonic()
        if not (
            self._idle_waiter.must_poll or self._idle_waiter.take_news() or now >= self._next_check
        ):
            return _QUIET
        self._next_check = now + _CHECK_SECONDS
        found = await self._link.run(worker_calls.signals(worker_field(worker), types))
        wanted = read_request(found.request).state if found.request else None
        return Signals(found.cancel, suspects_wait=found.suspects_wait, wanted=wanted)

    async def record_progress(self, reports: Sequence[ProgressReport]) -> None:
        """Append progress and log lines of running jobs."""
        lines = [
            (
                report.token.job_id,
                report.token.fence,
                report.at,
                report.share,
                report.message,
                report.log,
            )
            for report in reports
        ]
        await self._link.run(job_calls.progress(lines))

    def lease_keeper(self) -> RedisLeaseKeeper:
        """Return a lease keeper with its own connection, for the heartbeat thread."""
        return RedisLeaseKeeper(self._link)

    async def unregister(self, worker: str) -> None:
        """Remove a worker from the register."""
        await self._link.run(worker_calls.unregister(worker_field(worker)))

    async def wait_for_work(self, timeout_seconds: float) -> bool:
        """Wait until this worker is notified of jobs of the types that its last claim had capacity for."""
        request = self._last_request
        if request is None:
            return True
        types = [served.type for served in request.types if served.capacity != 0]
        return await self._idle_waiter.wait(
            worker_field(request.worker),
            types,
            timeout_seconds,
            suspects=request.lane is Lane.SUSPECT,
        )


def _pairs(reply: Any) -> dict[str, bytes]:
    if isinstance(reply, dict):
        return {name.decode(): value for name, value in reply.items()}
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def _size_of(done: Settlement) -> int:
    return len(done.disposition.result or b"") + len(done.disposition.detail)
