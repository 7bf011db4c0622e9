"""The runs of claimed jobs: each is begun, and settled once with its outcome."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import Outage
from hms_svc.domain.job import ClaimedJob, log_fields
from hms_svc.domain.outcome import Disposition
from hms_svc.ports.broker import Producer, Settlement
from hms_svc.ports.meters import UNMETERED, Meter
from hms_svc.ports.stores import StoredEffect, id_in_record
from hms_svc.runtime.availability import Availability
from hms_svc.runtime.decide import (
    Decided,
    Finished,
    NewerPayload,
    NotBegun,
    Outcome,
    RaisedError,
    StillRunning,
    Stopped,
    TimedOut,
    Unreachable,
    decide,
    in_doubt,
    with_effects,
)
from hms_svc.runtime.executor import Executor
from hms_svc.runtime.in_flight import InFlight, Running
from hms_svc.runtime.keyed_limits import KeyedLimits
from hms_svc.runtime.prefetch import MAX_WAIT_SECONDS, Prefetch
from hms_svc.runtime.redeliveries import Effects, Redeliveries
from hms_svc.runtime.run_beginnings import RunBeginnings
from hms_svc.runtime.run_outcome import inconclusive, unless_denied
from hms_svc.runtime.type_capacity import DEFAULT_RETRY
from hms_svc.runtime.unique_keys import UniqueKeys
from hms_svc.runtime.worker_options import Engines, WorkerOptions
from hms_svc.sdk.dao import Dao
from hms_svc.sdk.governance_gate import Gate
from hms_svc.sdk.job_steps import StepKeeper
from hms_svc.sdk.payload_versions import is_newer, version_of
from hms_svc.sdk.running_job import ProgressSink, RunningJob
from hms_svc.sdk.storable_text import writable_disposition

log: Final = logging.getLogger("hms_svc.runtime")
NO_EFFECTS: Final[tuple[StoredEffect, ...]] = ()
NONE_BEFORE: Final[Effects] = MappingProxyType({})


class SettlementSink(Protocol):
    """Takes what becomes of each job, once."""

    def add(self, settlement: Settlement, error: BaseException | None = None) -> None:
        """Take a settlement, and the error that failed the attempt if one did."""


class _Waiting(msgspec.Struct, frozen=True):
    """A claimed job that waits for a slot, since a time of the loop."""

    claimed: ClaimedJob
    effects: tuple[StoredEffect, ...]
    since: float


class _Now(NamedTuple):
    """One moment on three clocks: Unix ms, the lease clock in ms, and the loop's in seconds."""

    wall_ms: int
    lease_ms: int
    loop_seconds: float


class Runs:
    """Begins claimed jobs, ends each when its function returns or may run no longer, and settles it.

    A claimed job waits until there is a slot for it; see `prefetch` for how many may wait.
    A job keeps its slot until its function has returned, even if it was settled before.
    `on_effects` is called when a job with effects is settled, `on_timeout` when one has timed out.
    """

    def __init__(
        self,
        engines: Engines,
        options: WorkerOptions,
        *,
        executor: Executor,
        settler: SettlementSink,
        in_flight: InFlight,
        availability: Availability,
        slots_of: Mapping[str, int],
        prefetch: Prefetch,
        producer: Producer,
        report_progress: ProgressSink,
        step_keeper: StepKeeper,
        on_effects: Callable[[], None],
        on_timeout: Callable[[], None],
        meter: Meter = UNMETERED,
    ) -> None:
        database = engines.database
        self._options = options
        self._executor = executor
        self._settler = settler
        self._in_flight = in_flight
        self._availability = availability
        self._slots_of = slots_of
        self._prefetch = prefetch
        self._waiting: defaultdict[str, deque[_Waiting]] = defaultdict(deque)
        self._producer = producer
        self._report_progress = report_progress
        self._step_keeper = step_keeper
        self._on_effects = on_effects
        self._on_timeout = on_timeout
        self._clock = engines.clock
        self._dao = Dao(
            cases=database.cases,
            reports=database.reports,
            effects=database.effects,
            clock=engines.clock,
            radius_m=options.radius_m,
            actor=f"worker:{options.worker_id}",
            needs_job=True,
        )
        self._unique_keys = UniqueKeys(engines.broker, engines.registry)
        self._limits = KeyedLimits(
            engines.broker, engines.registry, lease_ms=_ms(options.lease_seconds)
        )
        self._gate = Gate(engines.policy, meter, needs_job=True)
        self._tracer = engines.tracer
        self._redeliveries = Redeliveries(
            database.effects,
            RunBeginnings(engines.inspection, engines.registry),
            engines.broker,
            self._begin_all,
            self._give_back,
        )
        self._declared = {
            declared.type: (declared, _ms(declared.timeout_seconds or options.timeout_seconds))
            for declared in engines.registry
        }
        self._elsewhere = frozenset(
            declared.type for declared in engines.registry if executor.runs_elsewhere(declared)
        )
        self._loop = asyncio.get_running_loop()
        executor.call_when_reported(self._fill_slots)

    async def begin(self, claimed: Sequence[ClaimedJob]) -> None:
        """Begin jobs; those that were claimed before begin once their effects have been read."""
        again = [job for job in claimed if job.claims > 1]
        if again:
            self._in_flight.expect(again)
            self._redeliveries.add(again)
            claimed = [job for job in claimed if job.claims == 1]
        self._in_flight.expect(claimed)
        await self._begin_all(claimed, NONE_BEFORE)

    @property
    def waiting(self) -> int:
        """The number of claimed jobs that wait for a slot."""
        return sum(map(len, self._waiting.values()))

    def time_out(self, running: Running, seconds: float) -> None:
        """Settle a job that ran too long; its function keeps the slot until it returns.

        An isolated one is killed, and then settled.
        """
        running.time_out()
        if running.type in self._elsewhere:
            return
        self._revoke(running, unless_denied(running.job.verdict, TimedOut(seconds)))
        self._on_timeout()

    def release(self, running: Running) -> None:
        """Release a job whose function cannot be stopped; the function can no longer write anything."""
        self._revoke(running, unless_denied(running.job.verdict, Stopped()))

    def release_expected(self) -> None:
        """Return claimed jobs whose effects have not been read."""
        self._redeliveries.cancel()

    def release_waiting(self, *, overdue_only: bool = False) -> None:
        """Return claimed jobs that wait for a slot: all, or those that have waited for too long."""
        since = self._loop.time() - MAX_WAIT_SECONDS if overdue_only else math.inf
        for type, waiting in list(self._waiting.items()):
            while waiting and waiting[0].since <= since:
                job = waiting.popleft()
                self._settle(job.claimed, job.claimed.claimed_at, NotBegun(), job.effects, "")
                self._in_flight.remove(job.claimed.token)
                self._prefetch.forget(type)
            if not waiting:
                del self._waiting[type]

    async def _begin_all(self, claimed: Sequence[ClaimedJob], effects: Effects) -> None:
        ended: Mapping[int, Outcome] = self._newer(
            [job for job in claimed if job.job.version is not None]
        )
        if self._unique_keys.are_declared:
            without_effects = [job for job in claimed if not effects.get(job.token.fence)]
            ended = {**ended, **await self._unique_keys.take(without_effects)}
        if self._limits.are_declared:
            claimed, ended = await self._let_in(claimed, ended)
        hung = {running.job.id for running in self._in_flight.hung()}
        since = self._loop.time()
        for job in claimed:
            own_effects = effects.get(job.token.fence, NO_EFFECTS)
            outcome = ended.get(job.token.fence)
            if outcome is None and job.token.job_id in hung:
                outcome = StillRunning()
            if outcome is not None:
                declared, _ = self._declared[job.job.type]
                self._settle(job, job.claimed_at, outcome, own_effects, "", declared.retry)
                self._in_flight.remove(job.token)
            else:
                self._waiting[job.job.type].append(_Waiting(job, own_effects, since))
        self._fill_slots()

    async def _let_in(
        self, claimed: Sequence[ClaimedJob], ended: Mapping[int, Outcome]
    ) -> tuple[Sequence[ClaimedJob], Mapping[int, Outcome]]:
        """Return the jobs that the limits let in or that have ended, and the outcomes of the latter.

        The others are queued again.
        """
        running = [job for job in claimed if job.token.fence not in ended]
        answer = await self._limits.let_in(running)
        for job in answer.queued:
            self._in_flight.remove(job.token)
        queued = {job.token.fence for job in answer.queued}
        return [job for job in claimed if job.token.fence not in queued], {**ended, **answer.ended}

    def _newer(self, versioned: Sequence[ClaimedJob]) -> dict[int, Outcome]:
        """Return the outcome, by fence, of jobs whose payload has a version that is not known here."""
        ended: dict[int, Outcome] = {}
        for claimed in versioned:
            declared, _ = self._declared[claimed.job.type]
            if is_newer(claimed.job, declared):
                version = version_of(claimed.job)
                ended[claimed.token.fence] = NewerPayload(version, declared.version)
        return ended

    def _fill_slots(self) -> None:
        """Begin jobs that wait, as far as there are slots for all and for their types."""
        free = self._options.slots - self._in_flight.running
        if not self._waiting or free <= 0:
            return
        now = _Now(self._clock.now_ms(), self._clock.lease_ms(), self._loop.time())
        for type, waiting in list(self._waiting.items()):
            free_of_type = self._slots_of[type] - self._in_flight.running_of(type)
            while waiting and free > 0 and free_of_type > 0:
                if self._try_to_begin(waiting.popleft(), now):
                    free, free_of_type = free - 1, free_of_type - 1
            if not waiting:
                del self._waiting[type]

    def _try_to_begin(self, waiting: _Waiting, now: _Now) -> bool:
        claimed = waiting.claimed
        try:
            self._begin(claimed, waiting.effects, now)
        except Exception as error:
            fields = log_fields(claimed.job.id, claimed.job.type, claimed.attempt)
            log.exception("job %s: its run could not begin", claimed.job.id, extra=fields)
            self._settle(claimed, claimed.claimed_at, inconclusive(error), waiting.effects, "")
            self._in_flight.remove(claimed.token)
            return False
        return True

    def _begin(self, claimed: ClaimedJob, effects: tuple[StoredEffect, ...], now: _Now) -> None:
        declared, timeout_ms = self._declared[claimed.job.type]
        tracer = None if declared.type in self._elsewhere else self._tracer
        job = RunningJob(
            claimed,
            dao=self._dao,
            gov=self._gate,
            broker=self._producer,
            deadline_ms=now.wall_ms + timeout_ms,
            expires_ms=now.lease_ms + timeout_ms,
            sink=self._report_progress,
            step_keeper=self._step_keeper,
            loop=self._loop,
            effects=effects,
            trace=None if tracer is None else tracer.start_attempt(claimed),
        )
        running = Running(job, declared, claimed.claimed_at, now.loop_seconds)
        self._in_flight.add(running)
        running.task = self._executor.start(job, declared, partial(self._finish, running))

    def _finish(self, running: Running, outcome: Outcome) -> None:
        job, running.task = running.job, None
        try:
            if isinstance(outcome, Unreachable):
                self._availability.report(outcome.error, job.type)
            if not running.settled and not (job.revoked and isinstance(outcome, Stopped)):
                self._conclude(running, outcome)
            else:
                running.end_trace(None)
        finally:
            self._in_flight.remove(job.claimed.token)
            running.revoke()
            self._prefetch.note(running.type, self._loop.time() - running.began)

    def _give_back(self, claimed: Sequence[ClaimedJob], outage: Outage | None) -> None:
        """Settle jobs that cannot begin because what their earlier claims have left is unknown."""
        outcome: Outcome = Stopped() if outage is None else Unreachable(outage)
        expected = {job.token.fence for job in self._in_flight.expected()}
        for job in claimed:
            if job.token.fence not in expected:
                continue
            if outage is not None:
                self._availability.report(outage, job.job.type)
            self._settle(job, job.claimed_at, outcome, NO_EFFECTS, "", lost_commit=outage)
            self._in_flight.remove(job.token)

    def _revoke(self, running: Running, outcome: Outcome) -> None:
        running.revoke()
        if not running.settled:
            self._conclude(running, outcome)

    def _conclude(self, running: Running, outcome: Outcome) -> None:
        """Settle a run; if that raises, the job ends with that error."""
        job, running.settled = running.job, True
        try:
            disposition = self._settle(
                job.claimed,
                running.started_at,
                outcome,
                job.effects,
                job.log_text(),
                running.declared.retry,
                job.lost_commit,
            )
        except BaseException as error:
            log.exception("job %s: its run could not be concluded", job.id, extra=job.log_fields)
            disposition = self._settle(
                job.claimed,
                running.started_at,
                inconclusive(error),
                job.effects,
                "",
                None,
                job.lost_commit,
            )
        if job.trace is not None:
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
        disposition = decide(outcome, claimed, policy, random.random(), now)
        if committed := id_in_record(effects):
            disposition = with_effects(disposition, committed)
        elif lost_commit is not None:
            disposition = in_doubt(disposition, lost_commit)
        if log_text:
            disposition = msgspec.structs.replace(disposition, log=log_text)
        if log_text or type(outcome) is not Finished:  # else it has no text
            disposition = writable_disposition(disposition)
        if effects or type(outcome) is Decided:
            self._on_effects()
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
            ),
            outcome.error if type(outcome) is RaisedError else None,
        )
        return disposition


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
