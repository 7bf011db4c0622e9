"""The process of an isolated handler: it runs the jobs that its worker sends, one at a time.

It has engines and resources of its own. The worker keeps the lease, kills this process when
the job may run no longer, and settles the job as this process has decided.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Final

import msgspec

from hms_svc import bootstrap
from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.outcome import Disposition
from hms_svc.ports.broker import Settlement
from hms_svc.processes.child_exit import exit_code_of
from hms_svc.processes.child_spec import ChildSpec
from hms_svc.processes.isolated_messages import (
    Begin,
    Ended,
    Ready,
    Renewed,
    receive_message,
    send_message,
)
from hms_svc.processes.worker import in_application
from hms_svc.runtime.availability import Availability
from hms_svc.runtime.executor import Executor
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.outbox_relay import OutboxRelay
from hms_svc.runtime.prefetch import Prefetch
from hms_svc.runtime.progress import ProgressWriter
from hms_svc.runtime.runs import Runs
from hms_svc.runtime.steps import StepWriter
from hms_svc.runtime.threads import PlainThreads
from hms_svc.runtime.worker_options import Engines, WorkerOptions
from hms_svc.runtime.workers_here import working_here
from hms_svc.sdk.job_context import worker_running
from hms_svc.sdk.job_defaults import CompletingProducer
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings

MIB: Final = 1024 * 1024


def run_isolated(line: str, spec: str) -> int:
    """Run the jobs of one type until the worker closes its connection."""
    control = socket.socket(fileno=int(line))
    child = msgspec.json.decode(spec, type=ChildSpec)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Its worker decides when it ends. Unlike an ignored signal, this is not inherited by programs it starts.
        signal.signal(number, _leave_to_the_worker)

    async def work(settings: Settings, registry: Registry) -> None:
        control.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=control)
        registry = registry.only(child.types)
        async with bootstrap.engines(settings, registry, child.worker_id) as engines:
            options = bootstrap.worker_options(settings, worker_id=child.worker_id)
            handlers = IsolatedRuns(engines, msgspec.structs.replace(options, slots=1))
            [declared] = registry
            with worker_running(), working_here(engines, options):
                if declared.memory_mb is not None:
                    limit_memory(declared.memory_mb)
                await handlers.serve(reader, writer)

    return exit_code_of(lambda: in_application(work))


def _leave_to_the_worker(number: int, frame: object) -> None:
    """Do nothing."""


def limit_memory(megabytes: int) -> None:
    """Let this process have so much more memory than it has now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [data_kib] = [line.split()[1] for line in status.splitlines() if line.startswith("VmData:")]
    limit = int(data_kib) * 1024 + megabytes * MIB
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


class IsolatedRuns:
    """Runs claimed jobs with the parts of a worker, and keeps what becomes of each."""

    def __init__(self, engines: Engines, options: WorkerOptions) -> None:
        registry, clock = engines.registry, engines.clock
        self._loop = asyncio.get_running_loop()
        self._threads = PlainThreads(options.slots, self._loop)
        self._progress = ProgressWriter(engines.broker, clock)
        self._steps = StepWriter(engines.broker)
        self._in_flight = InFlight()
        self._ended: asyncio.Future[Disposition] = self._loop.create_future()
        slots_of = {declared.type: 1 for declared in registry}
        producer = CompletingProducer(engines.broker, registry)
        relay = OutboxRelay(engines.database.outbox, engines.bus, producer)
        self._runs = Runs(
            engines,
            options,
            executor=Executor(
                self._threads, clock, timeout_seconds=options.timeout_seconds, bound=engines.bound
            ),
            settler=self,
            in_flight=self._in_flight,
            availability=Availability(engines.database, clock),
            slots_of=slots_of,
            prefetch=Prefetch(slots_of),
            producer=producer,
            report_progress=self._progress.report,
            step_keeper=self._steps,
            on_effects=relay.wake,
            on_timeout=_no_timeout,
        )

    def add(self, settlement: Settlement, error: BaseException | None = None) -> None:
        """Keep what becomes of the job, for the worker to settle."""
        self._ended.set_result(settlement.disposition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run one job after the other; return when the worker has closed the connection.

        If that happens while a job runs, the process ends at once.
        """
        writers = (self._progress, self._steps)
        writing = [asyncio.create_task(each.run(), name=each.name) for each in writers]
        send_message(writer, Ready())
        message = await receive_message(reader)
        while isinstance(message, Begin):
            running = asyncio.create_task(self._run(message.claimed), name="isolated-job")
            following = asyncio.create_task(self._follow(reader), name="worker-connection")
            await asyncio.wait({running, following}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                _leave()
            send_message(writer, Ended(running.result()))
            message = await following
        for each in writers:
            each.stop()
        await asyncio.wait(writing)
        self._threads.close()

    async def _run(self, claimed: ClaimedJob) -> Disposition:
        self._ended = self._loop.create_future()
        await self._runs.begin([claimed])
        disposition = await self._ended
        await self._in_flight.empty.wait()
        await self._progress.run_once()
        await self._steps.run_once()
        return disposition

    async def _follow(self, reader: asyncio.StreamReader) -> Begin | None:
        """Note renewed leases; return the next job, None when the worker is gone."""
        while isinstance(message := await receive_message(reader), Renewed):
            for running in self._in_flight.all():
                running.extend_lease(message.lease_until)
        return message if isinstance(message, Begin) else None


def _no_timeout() -> None:
    """Leave it to the worker to kill this process."""


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
