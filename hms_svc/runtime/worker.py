"""The worker: builds the loops, owns their task group, and drains on stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from hms_svc.domain.audit_heads import HeadSigner
from hms_svc.domain.deliveries import DELIVER
from hms_svc.domain.errors import Outage
from hms_svc.domain.job import Lane
from hms_svc.domain.views import WorkerState
from hms_svc.ports.meters import UNMETERED
from hms_svc.runtime.archive_transfer import ArchiveTransfer
from hms_svc.runtime.archiver import Archiver
from hms_svc.runtime.audit_sealer import AuditSealer
from hms_svc.runtime.availability import Availability
from hms_svc.runtime.claimer import Claimer
from hms_svc.runtime.deadlines import Deadlines
from hms_svc.runtime.drainer import Drainer
from hms_svc.runtime.event_forwarder import EventForwarder
from hms_svc.runtime.executor import Executor
from hms_svc.runtime.hung_functions import HungFunctions
from hms_svc.runtime.idle_exit import IdleExit
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.leases import Heartbeat
from hms_svc.runtime.listener import Listener
from hms_svc.runtime.loop import Service
from hms_svc.runtime.memory_retention import MemoryRetention
from hms_svc.runtime.outbox_relay import OutboxRelay
from hms_svc.runtime.progress import ProgressWriter
from hms_svc.runtime.promoter import Promoter
from hms_svc.runtime.reaper import Reaper
from hms_svc.runtime.reporter import Reporter
from hms_svc.runtime.runs import Runs
from hms_svc.runtime.scheduler import Scheduler
from hms_svc.runtime.settler import Settler
from hms_svc.runtime.threads import PlainThreads
from hms_svc.runtime.worker_meter import WorkerMeter
from hms_svc.runtime.worker_options import Engines, WorkerOptions
from hms_svc.sdk.job_defaults import CompletingProducer
from hms_svc.sdk.registry import slots_by_type
from hms_svc.sdk.running_job import worker_running

log: Final = logging.getLogger("hms_svc.runtime")
CANCEL_SECONDS: Final = 2.0


def _do_nothing() -> None:
    """Default callback."""


class Worker:
    """One worker process: runs until `stop`, then lets jobs finish within the grace period.

    `on_stop` is called when it begins to stop, for any reason. It stops by itself (`is_hung`)
    when functions whose jobs are settled hold all slots of a type, or all of its slots. It is
    `is_stuck` when it has threads that only the end of the process can stop. With `send_report`
    it collects metrics and passes its reports there: a call that never blocks, and returns
    False if it could not send. An operator may make it quiet, let it work again, or stop it:
    then it `is_dismissed`, and must not be replaced.
    """

    def __init__(
        self,
        engines: Engines,
        options: WorkerOptions,
        *,
        on_suspects: Callable[[], None] = _do_nothing,
        on_stop: Callable[[], None] = _do_nothing,
        send_report: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._engines = engines
        self._options = options
        self._on_suspects = on_suspects
        self._on_stop = on_stop
        self._send_report = send_report
        self._stop = asyncio.Event()
        self._grace_seconds = options.grace_seconds
        self._grace: asyncio.Timeout | None = None
        self.in_flight = InFlight()
        self.is_stuck = False
        self.is_hung = False
        self.is_dismissed = False

    def stop(self) -> None:
        """Begin the graceful stop: no more claims; running jobs may finish within the grace period."""
        if not self._stop.is_set():
            self._stop.set()
            self._on_stop()

    def stop_now(self) -> None:
        """Stop without a grace period: running jobs are cancelled or released."""
        self._grace_seconds = 0.0
        if self._grace is not None and self._grace.when() is not None:
            self._grace.reschedule(asyncio.get_running_loop().time())
        self.stop()

    async def run(self) -> None:
        """Work until stopped, or until drained with `options.drain`."""
        engines, options = self._engines, self._options
        types = tuple(declared.type for declared in engines.registry)
        threads = PlainThreads(options.slots, asyncio.get_running_loop())
        progress = ProgressWriter(engines.broker, engines.clock)
        reporter = self._reporter()
        meter = UNMETERED if reporter is None else reporter.meter
        settler = Settler(engines.broker, progress, meter)
        availability = Availability(engines.database, engines.clock)
        executor = Executor(threads, engines.clock, timeout_seconds=options.timeout_seconds)
        producer = CompletingProducer(engines.broker, engines.registry)
        relay = OutboxRelay(engines.database.outbox, engines.bus, producer)
        runs = Runs(
            engines,
            options,
            executor=executor,
            settler=settler,
            in_flight=self.in_flight,
            availability=availability,
            producer=producer,
            report_progress=progress.report,
            on_effects=relay.wake,
            on_timeout=self.stop if options.lane is Lane.SUSPECT else _do_nothing,
            meter=meter,
        )
        claimer = Claimer(
            engines,
            options,
            runs=runs,
            settler=settler,
            in_flight=self.in_flight,
            availability=availability,
            meter=meter,
        )
        scheduler = Scheduler(engines.broker, engines.registry, engines.clock)
        schedules = scheduler.texts if self._runs_schedules else ()
        heartbeat = Heartbeat(
            engines.broker.lease_keeper(), options, engines.registry, self.in_flight, engines.clock,
            schedules, meter,
        )  # fmt: skip
        services = [
            settler, progress, availability, relay, *([reporter] if reporter else []),
            *self._maintenance(claimer, runs, settler, types), *([scheduler] if schedules else []),
            Listener(
                engines.broker, options.worker_id, types, self.in_flight,
                lambda: self._report_suspects(claimer),
                lambda wanted: self._apply_request(wanted, claimer, heartbeat),
            ),
        ]  # fmt: skip
        heartbeat.start()
        try:
            await self._registered(heartbeat)
            await self._record_request()
            with worker_running():
                await self._work(claimer, runs, services, heartbeat)
            await self._flush(settler, progress, relay)
            if reporter is not None:
                reporter.announce_end()
        finally:
            await heartbeat.stop()
            threads.close()
        await self._unregister()

    def _reporter(self) -> Reporter | None:
        """Return the reporter, or None if reports are not wanted."""
        if self._send_report is None:
            return None
        meter = WorkerMeter(self._engines.registry)
        return Reporter(meter, self._options, self.in_flight, self._send_report)

    async def _registered(self, heartbeat: Heartbeat) -> None:
        """Wait until this worker is registered, and so its types are declared to the broker, or a stop.

        Items in an intake are then accepted with what this worker declares, not earlier.
        """
        waits = [
            asyncio.create_task(event.wait(), name=name)
            for name, event in (("registered", heartbeat.registered), ("stop", self._stop))
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _record_request(self) -> None:
        """Record the request to the worker that this one replaces under the new id."""
        if self._options.quiet is None:
            return
        try:
            await self._engines.control.ask_worker(self._options.worker_id, self._options.quiet)
        except Outage as error:
            log.warning("the request for this worker to be quiet could not be recorded: %s", error)

    @property
    def _runs_schedules(self) -> bool:
        return self._options.lane is Lane.NORMAL and not self._options.drain

    async def _work(
        self, claimer: Claimer, runs: Runs, services: list[Service], heartbeat: Heartbeat
    ) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(service.run(), name=service.name) for service in services]
            claiming = group.create_task(claimer.run(), name=claimer.name)
            await self._stop.wait()
            claimer.stop()
            heartbeat.show(WorkerState.STOPPING)
            await asyncio.wait({claiming})
            await self._drain(runs)
            for service in services:
                service.stop()
            await asyncio.wait(tasks)

    def _maintenance(
        self, claimer: Claimer, runs: Runs, settler: Settler, types: tuple[str, ...]
    ) -> list[Service]:
        engines, options, database = self._engines, self._options, self._engines.database
        transfer = ArchiveTransfer(
            control=engines.control,
            inspection=engines.inspection,
            archive=database.archive,
            erasure=database.erasure,
        )
        loops: list[Service] = [
            Deadlines(self.in_flight, runs, engines.clock, timeout_seconds=options.timeout_seconds),
            Reaper(engines.broker, database.effects, lease_seconds=options.lease_seconds),
            Promoter(engines.broker),
            HungFunctions(
                self.in_flight,
                options,
                slots_by_type(engines.registry, options.slots),
                self._end_as_hung,
            ),
        ]
        if options.lane is Lane.NORMAL:
            loops += [
                AuditSealer(
                    database.audit,
                    engines.bus,
                    engines.clock,
                    HeadSigner(options.namespace, options.audit_key),
                ),
                Archiver(
                    control=engines.control,
                    archive=database.archive,
                    analytics=database.analytics,
                    transfer=transfer,
                    clock=engines.clock,
                    completed_days=options.completed_days,
                    failed_days=options.failed_days,
                    unserved_days=options.unserved_days,
                ),
            ]
            if engines.control.eviction is not None:
                loops.append(MemoryRetention(engines.control.eviction, database.outbox, transfer))
            if options.receivers and DELIVER in types:
                loops.append(self._forwarder())
        if options.idle_seconds:
            loops.append(IdleExit(self.in_flight, claimer, self.stop, seconds=options.idle_seconds))
        if options.drain:
            loops.append(
                Drainer(
                    engines.inspection, database.outbox, types, self.in_flight, settler,
                    engines.clock, lambda: claimer.iterations > 1, self.stop,
                )
            )  # fmt: skip
        return loops

    def _report_suspects(self, claimer: Claimer) -> None:
        claimer.expect_suspects()
        self._on_suspects()

    def _apply_request(self, wanted: WorkerState, claimer: Claimer, heartbeat: Heartbeat) -> None:
        """Apply an operator's request, unless it is already applied or the worker stops."""
        if self._stop.is_set():
            return
        if wanted is WorkerState.STOPPING:
            log.warning("an operator stops this worker: %d jobs are running", len(self.in_flight))
            self.is_dismissed = True
            self.stop()
        elif claimer.is_quiet != (wanted is WorkerState.QUIET):
            log.warning("an operator wants this worker to be %s", wanted)
            claimer.keep_quiet(quiet=wanted is WorkerState.QUIET)
            heartbeat.show(wanted)

    def _end_as_hung(self, slots: str) -> None:
        if not self.is_hung:
            self.is_hung = True
            log.error("functions that do not return hold %s: this worker ends", slots)
            self.stop()

    def _forwarder(self) -> EventForwarder:
        engines, options = self._engines, self._options
        return EventForwarder(
            options.receivers, engines.bus, engines.broker, engines.clock,
            namespace=options.namespace, worker_id=options.worker_id,
        )  # fmt: skip

    async def _drain(self, runs: Runs) -> None:
        """Wait for the running jobs; after the grace period cancel them, and release the rest.

        Functions whose job is already settled are not waited for: they can no longer
        write anything.
        """
        if not self.in_flight.unsettled():
            self.is_stuck = len(self.in_flight) > 0
            return
        try:
            async with asyncio.timeout(self._grace_seconds) as self._grace:
                await self.in_flight.empty.wait()
            return
        except TimeoutError:
            log.warning("the grace period is over; %d jobs are still running", len(self.in_flight))
        self.is_stuck = True
        for running in self.in_flight.all():
            running.interrupt()
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self.in_flight.empty.wait()
        except TimeoutError:
            for running in self.in_flight.all():
                runs.release(running)
            runs.release_expected()

    async def _flush(self, settler: Settler, progress: ProgressWriter, relay: OutboxRelay) -> None:
        await settler.flush()
        try:
            await progress.run_once()
            await relay.run_once()
        except Outage as error:
            log.warning("at the end: %s", error)

    async def _unregister(self) -> None:
        """Leave the register, after the last heartbeat."""
        try:
            await self._engines.broker.unregister(self._options.worker_id)
        except Outage as error:
            log.warning("at the end: %s", error)
