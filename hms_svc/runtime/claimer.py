"""Free slots → one batched claim → dispatch."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from hms_svc.domain import failpoints
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import DatabaseUnavailable, Outage
from hms_svc.domain.job import ClaimedJob, Lane, log_fields
from hms_svc.domain.outcome import Disposition
from hms_svc.ports.broker import ClaimRequest, ServedType, Settlement
from hms_svc.ports.meters import UNMETERED, Meter
from hms_svc.ports.stores import StoredEffect
from hms_svc.runtime.availability import Availability
from hms_svc.runtime.decide import (
    Outcome,
    StillRunning,
    Stopped,
    TimedOut,
    Unreachable,
    decide,
    in_doubt,
    with_effects,
)
from hms_svc.runtime.executor import Executor, inconclusive, unless_denied
from hms_svc.runtime.in_flight import InFlight, Running
from hms_svc.runtime.loop import Service
from hms_svc.runtime.redeliveries import Effects, Redeliveries
from hms_svc.runtime.settler import Settler
from hms_svc.runtime.type_capacity import DEFAULT_RETRY, TypeCapacity, capacity_of
from hms_svc.runtime.unique_keys import UniqueKeys
from hms_svc.runtime.worker_options import Engines, WorkerOptions
from hms_svc.sdk.dao import Dao
from hms_svc.sdk.governance_gate import Gate
from hms_svc.sdk.job_defaults import CompletingProducer
from hms_svc.sdk.running_job import ProgressSink, RunningJob
from hms_svc.sdk.storable_text import writable_disposition

log: Final = logging.getLogger("hms_svc.runtime")
BACKLOG_PAUSE_SECONDS: Final = 0.005
PAUSE_SECONDS: Final = 0.5
"""How often types that are paused for an outage are checked."""
SOON_SECONDS: Final = 0.02
"""How long to wait for a slot before waiting for work: short jobs free one within it."""
WAIT_SECONDS: Final = 5.0
NO_EFFECTS: Final[tuple[StoredEffect, ...]] = ()
NONE_BEFORE: Final[Effects] = MappingProxyType({})


class Claimer(Service):
    """Keeps the slots full, and passes the outcome of every job to the settler.

    With inline suspects it lets its running jobs end when a suspect waits, runs it alone,
    and continues.
    """

    def __init__(
        self,
        engines: Engines,
        options: WorkerOptions,
        executor: Executor,
        settler: Settler,
        in_flight: InFlight,
        availability: Availability,
        sink: ProgressSink,
        meter: Meter = UNMETERED,
    ) -> None:
        super().__init__(interval_seconds=0.0)
        self._engines = engines
        self._options = options
        self._executor = executor
        self._settler = settler
        self._in_flight = in_flight
        self._availability = availability
        self._sink = sink
        self._clock = engines.clock
        self._dao = Dao(
            cases=engines.database.cases,
            reports=engines.database.reports,
            effects=engines.database.effects,
            clock=engines.clock,
            radius_m=options.radius_m,
            actor=f"worker:{options.worker_id}",
            needs_job=True,
        )
        self._unique_keys = UniqueKeys(engines.broker, engines.registry)
        self._producer = CompletingProducer(engines.broker, engines.registry)
        self._gate = Gate(engines.policy, meter, needs_job=True)
        self._meter = meter
        self._tracer = engines.tracer
        self._type_capacity = TypeCapacity(engines.registry, options.slots, in_flight, availability)
        self._redeliveries = Redeliveries(
            engines.database.effects, self._begin_all, self._give_back
        )
        self._lane = options.lane
        self._freed = asyncio.Event()
        self._waiter: asyncio.Task[bool] | None = None
        self._retries = {declared.type: declared.retry for declared in engines.registry}
        self._loop = asyncio.get_running_loop()
        self.suspects_wait = False
        self.is_quiet = False
        self.iterations = 0
        self.claimed_total = 0
        self.on_effects: list[Service] = []
        self.on_timeout: Callable[[], None] | None = None

    async def run_once(self) -> None:
        """Claim once if slots are free, otherwise wait for a slot, work or a signal."""
        self.iterations += 1
        self._meter.iteration_began()
        self._freed.clear()
        lane, capacity = self._free_slots()
        types = self._type_capacity.types_for(capacity, limited=lane is Lane.NORMAL)
        capacity = capacity_of(types, capacity)
        claimed: list[ClaimedJob] = []
        try:
            if capacity > 0:
                claimed = await self._claim(lane, types, capacity)
                await self._dispatch(claimed)
        finally:
            self._meter.iteration_ended()
        if lane is not self._lane and capacity > 0 and not claimed:
            return
        if len(claimed) < capacity or capacity <= 0:
            await self._wait(empty=len(claimed) < capacity)

    @property
    def _is_behind(self) -> bool:
        """Whether too many jobs wait to be settled to claim more."""
        return self._settler.backlog > 4 * self._options.slots + 100

    def _free_slots(self) -> tuple[Lane, int]:
        if self.is_quiet:
            return self._lane, 0
        if self._lane is Lane.SUSPECT or (self._options.inline_suspects and self.suspects_wait):
            return Lane.SUSPECT, 0 if self._in_flight.unsettled() else 1
        if self._is_behind:
            return Lane.NORMAL, 0
        return Lane.NORMAL, self._options.slots - len(self._in_flight)

    async def _claim(
        self, lane: Lane, types: tuple[ServedType, ...], capacity: int
    ) -> list[ClaimedJob]:
        request = ClaimRequest(
            worker=self._options.worker_id,
            types=types,
            limit=capacity,
            lease_ms=int(self._options.lease_seconds * 1000),
            lane=lane,
        )
        began = self._loop.time()
        claimed = await self._engines.broker.claim(request)
        if failpoints.armed is not None:
            failpoints.reached("claim.replied")
        self._meter.claimed(claimed, self._loop.time() - began)
        self.claimed_total += len(claimed)
        if lane is Lane.SUSPECT and not claimed:
            self.suspects_wait = False
            if self._lane is Lane.NORMAL:
                self.wake()
        return claimed

    async def _dispatch(self, claimed: Sequence[ClaimedJob]) -> None:
        again = [job for job in claimed if job.claims > 1]
        if again:
            self._in_flight.expect(again)
            self._redeliveries.add(again)
            claimed = [job for job in claimed if job.claims == 1]
        await self._begin_all(claimed, NONE_BEFORE)

    def _give_back(self, claimed: Sequence[ClaimedJob], outage: DatabaseUnavailable | None) -> None:
        """Settle jobs that cannot begin because the effects of their earlier claims are unknown."""
        outcome: Outcome = Stopped() if outage is None else Unreachable(outage)
        expected = {job.token.fence for job in self._in_flight.expected()}
        for job in claimed:
            if job.token.fence not in expected:
                continue
            if outage is not None:
                self._availability.report(outage, job.job.type)
            self._settle(job, job.claimed_at, outcome, NO_EFFECTS, "", lost_commit=outage)
            self._free(job)

    def _free(self, claimed: ClaimedJob) -> None:
        self._in_flight.remove(claimed.token)
        self._freed.set()

    async def _begin_all(self, claimed: Sequence[ClaimedJob], effects: Effects) -> None:
        without_effects = [job for job in claimed if not effects.get(job.token.fence)]
        ended = await self._unique_keys.take(without_effects)
        hung = {running.job.id for running in self._in_flight.hung()}
        for job in claimed:
            own_effects = effects.get(job.token.fence, NO_EFFECTS)
            outcome = ended.get(job.token.fence)
            if outcome is None and job.token.job_id in hung:
                outcome = StillRunning()
            if outcome is not None:
                retry = self._retries[job.job.type]
                self._settle(job, job.claimed_at, outcome, own_effects, "", retry)
                self._free(job)
            else:
                self._try_to_begin(job, own_effects)

    def _try_to_begin(self, claimed: ClaimedJob, effects: tuple[StoredEffect, ...]) -> None:
        try:
            self._begin(claimed, effects)
        except Exception as error:
            fields = log_fields(claimed.job.id, claimed.job.type, claimed.attempt)
            log.exception("job %s: its run could not begin", claimed.job.id, extra=fields)
            self._settle(claimed, claimed.claimed_at, inconclusive(error), effects, "")
            self._free(claimed)

    def _begin(self, claimed: ClaimedJob, effects: tuple[StoredEffect, ...]) -> None:
        declared = self._engines.registry.get(claimed.job.type)
        assert declared is not None, "a worker claims only types it has a handler for"
        now = self._clock.now_ms()
        seconds = declared.timeout_seconds or self._options.timeout_seconds
        job = RunningJob(
            claimed,
            dao=self._dao,
            gov=self._gate,
            broker=self._producer,
            deadline_ms=now + int(seconds * 1000),
            expires_ms=self._clock.lease_ms() + int(seconds * 1000),
            sink=self._sink,
            loop=self._loop,
            effects=effects,
            trace=None if self._tracer is None else self._tracer.start_attempt(claimed),
        )
        running = Running(job, declared, claimed.claimed_at)
        self._in_flight.add(running)
        running.task = self._executor.start(
            job, declared, lambda outcome: self._finish(running, outcome)
        )

    def _finish(self, running: Running, outcome: Outcome) -> None:
        job = running.job
        try:
            if isinstance(outcome, Unreachable):
                self._availability.report(outcome.error, job.type)
            if not running.settled and not (job.revoked and isinstance(outcome, Stopped)):
                self._conclude(running, outcome)
            else:
                running.end_trace(None)
        finally:
            self._free(job.claimed)
            job.revoked = True

    def release_expected(self) -> None:
        """Return claimed jobs that have not begun."""
        self._redeliveries.cancel()

    def time_out(self, running: Running, seconds: float) -> None:
        """Settle a job that ran too long; its function keeps the slot until it returns."""
        running.job.timed_out = True
        running.interrupt()
        self._revoke(running, unless_denied(running.job.verdict, TimedOut(seconds)))
        if self.on_timeout is not None:
            self.on_timeout()

    def release(self, running: Running) -> None:
        """Release a job whose function cannot be stopped; the function can no longer write anything."""
        self._revoke(running, unless_denied(running.job.verdict, Stopped()))

    def _revoke(self, running: Running, outcome: Outcome) -> None:
        running.job.revoked = True
        if not running.settled:
            self._conclude(running, outcome)

    def _conclude(self, running: Running, outcome: Outcome) -> None:
        """Settle a run; if that raises, the job ends with that error."""
        job, running.settled = running.job, True
        try:
            disposition = self._settle(
                job.claimed, running.started_at, outcome, job.effects, job.log_text(),
                running.declared.retry, job.lost_commit,
            )  # fmt: skip
        except BaseException as error:
            log.exception("job %s: its run could not be concluded", job.id, extra=job.log_fields)
            disposition = self._settle(
                job.claimed, running.started_at, inconclusive(error), job.effects, "",
                None, job.lost_commit,
            )  # fmt: skip
        running.end_trace(disposition)

    def _settle(
        self,
        claimed: ClaimedJob,
        started_at: int,
        outcome: Outcome,
        effects: tuple[StoredEffect, ...],
        log_text: str,
        retry: RetryPolicy | None = None,
        lost_commit: Outage | None = None,
    ) -> Disposition:
        now = self._clock.now_ms()
        policy = DEFAULT_RETRY if retry is None else retry
        disposition = decide(outcome, claimed, policy, random.random())
        if effects:
            disposition = with_effects(disposition, effects[0].case_id)
        elif lost_commit is not None:
            disposition = in_doubt(disposition, lost_commit)
        if log_text:
            disposition = msgspec.structs.replace(disposition, log=log_text)
        disposition = writable_disposition(disposition)
        if effects:
            for service in self.on_effects:
                service.wake()
        self._settler.add(
            Settlement(
                token=claimed.token,
                type=claimed.job.type,
                disposition=disposition,
                worker=self._options.worker_id,
                attempt=claimed.attempt,
                started_at=started_at,
                ended_at=now,
                traceparent=claimed.job.traceparent,
            )
        )
        return disposition

    async def _wait(self, *, empty: bool) -> None:
        """Wait until a slot is free, or, if the queues were empty, until there may be work."""
        if self._stopping or (empty and self.is_quiet):
            return
        if not empty:
            await self._until_freed()
        elif not (self._type_capacity.held_back and await self._is_freed_within(SOON_SECONDS)):
            await self._until_notified()

    async def _until_freed(self) -> None:
        if self.is_quiet:
            await self._freed.wait()
        elif self._availability.has_paused:
            await self._is_freed_within(PAUSE_SECONDS)
        elif len(self._in_flight) and not self._is_behind:
            await self._freed.wait()
        else:
            await self._is_freed_within(BACKLOG_PAUSE_SECONDS)

    async def _is_freed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._freed.wait()
        except TimeoutError:
            return False
        return True

    async def _until_notified(self) -> None:
        if self._waiter is None or self._waiter.done():
            self._waiter = asyncio.create_task(
                self._engines.broker.wait_for_work(WAIT_SECONDS), name="wait-for-work"
            )
        if not self._type_capacity.held_back:
            await asyncio.wait({self._waiter})
        else:
            seconds = PAUSE_SECONDS if self._availability.has_paused else None
            freed = asyncio.create_task(self._freed.wait(), name="wait-for-slot")
            await asyncio.wait(
                {self._waiter, freed}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            freed.cancel()
            # It waits for the types that had free slots so far; the next claim asks for others.
            self._waiter.cancel()
            await asyncio.wait({self._waiter})
        if not self._waiter.cancelled():
            self._waiter.result()

    def wake(self) -> None:
        """End a wait for a slot."""
        super().wake()
        self._freed.set()

    def keep_quiet(self, *, quiet: bool) -> None:
        """Stop claiming, or claim again."""
        self.is_quiet = quiet
        self._interrupt()

    def stop(self) -> None:
        """Stop claiming."""
        super().stop()
        self._interrupt()

    def _interrupt(self) -> None:
        """End the waits for a slot and for work."""
        self._freed.set()
        if self._waiter is not None:
            self._waiter.cancel()
