"""The loops of one worker, made and connected."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hms_svc.domain.audit_heads import HeadSigner
from hms_svc.domain.deliveries import DELIVER
from hms_svc.domain.job import Lane
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
from hms_svc.runtime.isolation import Isolation
from hms_svc.runtime.leases import Heartbeat
from hms_svc.runtime.loop import Service
from hms_svc.runtime.memory_retention import MemoryRetention
from hms_svc.runtime.outbox_relay import OutboxRelay
from hms_svc.runtime.prefetch import Prefetch
from hms_svc.runtime.progress import ProgressWriter
from hms_svc.runtime.promoter import Promoter
from hms_svc.runtime.reaper import Reaper
from hms_svc.runtime.reporter import Reporter
from hms_svc.runtime.runs import Runs
from hms_svc.runtime.scheduler import Scheduler
from hms_svc.runtime.settler import Settler
from hms_svc.runtime.steps import StepWriter
from hms_svc.runtime.threads import PlainThreads
from hms_svc.runtime.type_capacity import TypeCapacity
from hms_svc.runtime.worker_meter import WorkerMeter
from hms_svc.runtime.worker_options import Engines, WorkerOptions
from hms_svc.sdk.job_defaults import CompletingProducer
from hms_svc.sdk.registry import limited_types, slots_by_type

SendReport = Callable[[bytes], bool]


def _do_nothing() -> None:
    """Continue after a timeout."""


class WorkerLoops:
    """The loops that the options ask for: `services`, and the claimer, which ends before them.

    `stop` stops the worker; `on_no_slot` is called with the slots that hung functions hold.
    """

    def __init__(
        self,
        engines: Engines,
        options: WorkerOptions,
        *,
        in_flight: InFlight,
        threads: PlainThreads,
        stop: Callable[[], None],
        on_no_slot: Callable[[str], None],
        send_report: SendReport | None,
        isolation: Isolation,
    ) -> None:
        self._engines = engines
        self._isolation = isolation
        self._options = options
        self._in_flight = in_flight
        self._stop = stop
        self._on_no_slot = on_no_slot
        self.reporter = None if send_report is None else self._reporter(send_report)
        self._meter = UNMETERED if self.reporter is None else self.reporter.meter
        self.progress = ProgressWriter(engines.broker, engines.clock)
        self.steps = StepWriter(engines.broker)
        self.settler = Settler(engines.broker, self.progress, self.steps, self._meter)
        self._availability = Availability(engines.database, engines.clock)
        producer = CompletingProducer(engines.broker, engines.registry)
        self.relay = OutboxRelay(engines.database.outbox, engines.bus, producer)
        self._slots_of = slots_by_type(engines.registry, options.slots)
        self._prefetch = Prefetch(self._slots_of, never=limited_types(engines.registry))
        self.runs = self._runs(threads, producer)
        self.claimer = Claimer(
            engines,
            options,
            runs=self.runs,
            settler=self.settler,
            in_flight=in_flight,
            type_capacity=TypeCapacity(
                engines.registry, self._slots_of, in_flight, self._availability, self._prefetch
            ),
            availability=self._availability,
            meter=self._meter,
        )
        self._scheduler = Scheduler(engines.broker, engines.registry, engines.clock)
        runs_schedules = options.lane is Lane.NORMAL and not options.drain
        self._schedules = self._scheduler.texts if runs_schedules else ()
        self.heartbeat = Heartbeat(
            engines.broker.lease_keeper(),
            options,
            engines.registry,
            in_flight,
            engines.clock,
            self._schedules,
            self._meter,
        )
        self.services = list(self._services())

    def _reporter(self, send_report: SendReport) -> Reporter:
        meter = WorkerMeter(self._engines.registry)
        return Reporter(meter, self._options, self._in_flight, send_report)

    def _runs(self, threads: PlainThreads, producer: CompletingProducer) -> Runs:
        engines, options = self._engines, self._options
        return Runs(
            engines,
            options,
            executor=Executor(
                threads,
                engines.clock,
                timeout_seconds=options.timeout_seconds,
                bound=engines.bound,
                isolation=self._isolation,
            ),
            settler=self.settler,
            in_flight=self._in_flight,
            availability=self._availability,
            slots_of=self._slots_of,
            prefetch=self._prefetch,
            producer=producer,
            report_progress=self.progress.report,
            step_keeper=self.steps,
            on_effects=self.relay.wake,
            on_timeout=self._stop if options.lane is Lane.SUSPECT else _do_nothing,
            meter=self._meter,
        )

    def _services(self) -> Iterator[Service]:
        yield from (self.settler, self.progress, self.steps, self._availability, self.relay)
        if self.reporter is not None:
            yield self.reporter
        yield from self._watching()
        if self._options.lane is Lane.NORMAL:
            yield from self._keeping()
        if self._schedules:
            yield self._scheduler

    def _watching(self) -> Iterator[Service]:
        """Return the loops that watch jobs and slots."""
        engines, options, in_flight = self._engines, self._options, self._in_flight
        yield Deadlines(
            in_flight, self.runs, engines.clock, timeout_seconds=options.timeout_seconds
        )
        yield Reaper(engines.broker, engines.database.effects, lease_seconds=options.lease_seconds)
        yield Promoter(engines.broker)
        yield HungFunctions(in_flight, options, self._slots_of, self._on_no_slot)
        if options.idle_seconds:
            yield IdleExit(in_flight, self.claimer, self._stop, seconds=options.idle_seconds)
        if options.drain:
            yield Drainer(
                engines.inspection,
                engines.database.outbox,
                self._types,
                in_flight,
                self.settler,
                engines.clock,
                lambda: self.claimer.iterations > 1,
                self._stop,
            )

    def _keeping(self) -> Iterator[Service]:
        """Return the loops that keep the audit log and the archive, and forward events."""
        engines, options, database = self._engines, self._options, self._engines.database
        signer = HeadSigner(options.namespace, options.audit_key)
        yield AuditSealer(database.audit, engines.bus, engines.clock, signer)
        transfer = ArchiveTransfer(
            control=engines.control,
            inspection=engines.inspection,
            archive=database.archive,
            erasure=database.erasure,
        )
        yield Archiver(
            control=engines.control,
            archive=database.archive,
            analytics=database.analytics,
            transfer=transfer,
            clock=engines.clock,
            completed_days=options.completed_days,
            failed_days=options.failed_days,
            unserved_days=options.unserved_days,
        )
        if engines.control.eviction is not None:
            yield MemoryRetention(engines.control.eviction, database.outbox, transfer)
        if options.receivers and DELIVER in self._types:
            yield EventForwarder(
                options.receivers,
                engines.bus,
                engines.broker,
                engines.clock,
                namespace=options.namespace,
                worker_id=options.worker_id,
            )

    @property
    def _types(self) -> tuple[str, ...]:
        return tuple(declared.type for declared in self._engines.registry)
