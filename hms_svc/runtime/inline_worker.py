"""A worker without timers, for tests and development: it runs jobs when it is called, and says what each left."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, cast

import msgspec

from hms_svc.domain.batches import NewBatch
from hms_svc.domain.event import Event
from hms_svc.domain.job import Job, Lane, LeaseToken
from hms_svc.domain.outcome import Disposition
from hms_svc.ports.broker import (
    Acceptance,
    Broker,
    ClaimRequest,
    Enqueued,
    EnqueuedBatch,
    ServedType,
    Settlement,
)
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.stores import StoredEffect
from hms_svc.runtime.deadlines import Deadlines
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.isolation import NO_ISOLATION
from hms_svc.runtime.reaper import Reaper
from hms_svc.runtime.threads import PlainThreads
from hms_svc.runtime.type_capacity import DEFAULT_RETRY
from hms_svc.runtime.worker_ids import make_worker_id
from hms_svc.runtime.worker_loops import WorkerLoops
from hms_svc.runtime.worker_options import Engines, WorkerOptions
from hms_svc.runtime.workers_here import working_here
from hms_svc.sdk.job_context import worker_running
from hms_svc.sdk.middleware import Run
from hms_svc.sdk.open_resources import BoundType
from hms_svc.sdk.payload_versions import UpgradeFault
from hms_svc.sdk.running_job import RunningJob, find_job
from hms_svc.sdk.validation import ValidatorFault

LOOK_SECONDS: Final = 0.01
"""How often a worker whose job runs looks at deadlines, and whether the job waits for another."""
LOOKS_ALONE: Final = 100
"""After so many looks other jobs begin beside a job that has not ended: it may wait for one of them.

Looks are counted, because a process that got no CPU for a second has not given its job a second.
"""
EVENTS_AT_ONCE: Final = 1_000
PROMOTED_AT_ONCE: Final = 1_000


class EndedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a job that has ended, and what it left; `error` is the exception that left it, if one did.

    `jobs` were enqueued by it and accepted, `events` were published while it was settled. A run that
    was `killed` has written its effects, and is not settled.
    """

    job_id: str
    type: str
    attempt: int
    disposition: Disposition
    error: BaseException | None
    effects: tuple[StoredEffect, ...]
    jobs: tuple[Job, ...]
    events: tuple[Event, ...] = ()
    killed: bool = False


class _Notes:
    """What the runs of one worker raised and wrote, and which jobs they enqueued, by job id."""

    def __init__(self) -> None:
        self.errors: dict[str, BaseException] = {}
        self.effects: dict[str, tuple[StoredEffect, ...]] = {}
        self.jobs: dict[str, list[Job]] = {}
        self.settled: list[Settlement] = []
        self.relayed_for = ""

    async def middleware(self, job: RunningJob, run: Run) -> Any:
        """Run a job, as its outermost middleware, and note its error and its effects."""
        try:
            return await run()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and job.interrupted:
                raise
            is_wrapped = isinstance(error, ValidatorFault | UpgradeFault)
            self.errors[job.id] = (error.__cause__ or error) if is_wrapped else error
            raise
        finally:
            self.effects[job.id] = tuple(job.effects)


class _NotingBroker:
    """The broker, whose accepted jobs are noted with the job that enqueued them."""

    def __init__(self, broker: Broker, notes: _Notes) -> None:
        self._broker = broker
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        answers = await self._broker.enqueue(jobs)
        running = find_job()
        by = self._notes.relayed_for if running is None else running.id
        self._notes.jobs.setdefault(by, []).extend(
            job
            for job, answer in zip(jobs, answers, strict=True)
            if answer.acceptance is Acceptance.ACCEPTED
        )
        return answers

    async def settle(self, settlements: Sequence[Settlement]) -> list[LeaseToken]:
        refused = await self._broker.settle(settlements)
        self._notes.settled += settlements
        return refused

    async def enqueue_batch(self, batch: NewBatch) -> EnqueuedBatch:
        answer = await self._broker.enqueue_batch(batch)
        running = find_job()
        if answer.acceptance is Acceptance.ACCEPTED and running is not None:
            self._notes.jobs.setdefault(running.id, []).extend(batch.members)
        return answer


class UntimedClock(SystemClock):
    """A clock by which no lease and no timeout ends, for jobs that a person runs in a debugger."""

    def lease_ms(self) -> int:
        """Return the same moment at each call."""
        return 0


class InlineWorker:
    """Claims one job after the other, runs each with its whole chain, and settles it before the next.

    It has the parts of a worker, and nothing runs between its calls: due jobs and deadlines are
    looked at when it works. Isolated handlers run in this process. While a handler waits for another
    job (`is_job_awaited`), or has run for more than about a second, others run beside it.
    """

    def __init__(
        self, engines: Engines, options: WorkerOptions, *, is_job_awaited: Callable[[], bool]
    ) -> None:
        self._notes = _Notes()
        self._is_job_awaited = is_job_awaited
        bound = {
            declared.type: self._with_notes(declared.handler, engines.bound.get(declared.type))
            for declared in engines.registry
        }
        broker = cast("Broker", _NotingBroker(engines.broker, self._notes))
        self._engines = msgspec.structs.replace(engines, bound=bound, broker=broker)
        self._options = options
        self._served = tuple(
            ServedType(declared.type, (declared.retry or DEFAULT_RETRY).max_attempts)
            for declared in engines.registry
        )
        self._position = 0
        self._looks = 0
        self._is_entered = False
        self.kill_next = False
        """Whether the worker is to be killed when its next job has ended, before that is settled."""
        self._start()

    def _with_notes(self, handler: Any, bound: BoundType | None) -> BoundType:
        if bound is None:
            return BoundType(handler, (self._notes.middleware,))
        return BoundType(bound.handler, (self._notes.middleware, *bound.middleware))

    def _start(self) -> None:
        """Begin as a worker of another id, with nothing in memory."""
        self._options = msgspec.structs.replace(self._options, worker_id=make_worker_id())
        self._in_flight = InFlight()
        self._threads = PlainThreads(self._options.slots, asyncio.get_running_loop())
        self._loops = WorkerLoops(
            self._engines,
            self._options,
            in_flight=self._in_flight,
            threads=self._threads,
            stop=lambda: None,
            on_no_slot=lambda _: None,
            send_report=None,
            isolation=NO_ISOLATION,
        )
        self._deadlines = Deadlines(
            self._in_flight,
            self._loops.runs,
            self._engines.clock,
            timeout_seconds=self._options.timeout_seconds,
        )

    async def work(
        self,
        types: Collection[str] | None = None,
        *,
        until: str = "",
        most: int = sys.maxsize,
    ) -> list[EndedRun]:
        """Run what is ready, and what becomes ready by it; return the runs in the order of their ends.

        With `until` it ends when the job of this id has ended a run, and begins only jobs of `types` and
        none of killed workers, except beside a job that waits. It also ends after a kill, and after `most` runs.
        """
        ended: list[EndedRun] = []
        with worker_running(), working_here(self._engines, self._options):
            await self._enter()
            await self._new_events()  # those of others are no run's
            await self._relay("")
            while len(ended) < most:
                await self._engines.broker.promote(PROMOTED_AT_ONCE)
                await self._begin_next(types)
                if not self._in_flight.unsettled() and not self._loops.settler.backlog:
                    break
                await self._wait()
                settled = await self._settle()
                ended += settled
                if any(each.killed or each.job_id == until for each in settled):
                    break
        return ended

    async def _enter(self) -> None:
        """Enter the register once, which declares the limits and priorities of the types."""
        if not self._is_entered:
            self._is_entered = True
            self._loops.heartbeat.beat_once()

    async def _begin_next(self, types: Collection[str] | None) -> None:
        """Claim a job and begin it, if none runs, or if one runs that may wait for another."""
        if self._in_flight.unsettled():
            if not self._is_job_awaited() and self._looks < LOOKS_ALONE:
                return
            types = None
        served = tuple(each for each in self._served if types is None or each.type in types)
        for lane in (Lane.SUSPECT, Lane.NORMAL) if types is None else (Lane.NORMAL,):
            request = ClaimRequest(
                worker=self._options.worker_id,
                types=served,
                limit=1,
                lease_ms=int(self._options.lease_seconds * 1000),
                lane=lane,
            )
            if self._in_flight.running < self._options.slots and (
                claimed := await self._engines.broker.claim(request)
            ):
                self._looks = 0
                await self._loops.runs.begin(claimed)
                return

    async def _wait(self) -> None:
        """Wait a moment for the end of a job, unless one has ended."""
        freed = self._in_flight.freed
        freed.clear()
        if self._loops.settler.backlog or not self._in_flight.unsettled():
            return
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await freed.wait()
        except TimeoutError:
            self._looks += 1
            await self._deadlines.run_once()

    async def _settle(self) -> list[EndedRun]:
        """Settle the runs that have ended, and pass on what they have committed."""
        waiting = self._loops.settler.waiting
        if not waiting:
            return []
        if self.kill_next:
            return await self._die(waiting)
        await self._loops.settler.run_once()
        # With those that ended beside them while they were written.
        settled, self._notes.settled = self._notes.settled, []
        await self._relay(settled[-1].token.job_id)
        events = await self._new_events()
        return [self._ended(each, events, killed=False) for each in settled]

    async def _relay(self, job_id: str) -> None:
        """Publish what was committed; follow-up jobs are noted as this job's."""
        self._notes.relayed_for = job_id
        await self._loops.relay.run_once()
        self._notes.jobs.pop("", None)

    async def _die(self, waiting: Sequence[Settlement]) -> list[EndedRun]:
        """Lose what is in memory, as a killed worker does; its jobs are redelivered."""
        self.kill_next = False
        self._loops.runs.release_expected()
        for running in self._in_flight.all():
            running.lose_lease()
        killed = self._options.worker_id
        self._threads.close()
        self._start()
        await self._engines.broker.abandon(killed)
        reaper = Reaper(
            self._engines.broker,
            self._engines.database.effects,
            lease_seconds=self._options.lease_seconds,
        )
        await reaper.run_once()
        return [self._ended(each, (), killed=True) for each in waiting]

    async def _new_events(self) -> tuple[Event, ...]:
        found: list[Event] = []
        while events := await self._engines.bus.read(after=self._position, limit=EVENTS_AT_ONCE):
            found += events
            self._position = events[-1].position
        return tuple(found)

    def _ended(self, settled: Settlement, events: Sequence[Event], *, killed: bool) -> EndedRun:
        job_id, notes = settled.token.job_id, self._notes
        return EndedRun(
            job_id=job_id,
            type=settled.type,
            attempt=settled.attempt,
            disposition=settled.disposition,
            error=notes.errors.pop(job_id, None),
            effects=notes.effects.pop(job_id, ()),
            jobs=tuple(notes.jobs.pop(job_id, ())),
            events=tuple(events),
            killed=killed,
        )

    def close(self) -> None:
        """End the threads; a function that still runs ends with its thread."""
        for running in self._in_flight.all():
            running.interrupt()
        self._threads.close()
