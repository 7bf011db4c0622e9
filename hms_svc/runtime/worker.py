"""The worker: runs its loops in one task group, and drains on stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from hms_svc.domain.errors import BadSetting, Outage
from hms_svc.domain.views import WorkerState
from hms_svc.runtime.claimer import Claimer
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.isolation import NO_ISOLATION, Isolation
from hms_svc.runtime.leases import Heartbeat
from hms_svc.runtime.listener import Listener
from hms_svc.runtime.runs import Runs
from hms_svc.runtime.threads import PlainThreads
from hms_svc.runtime.worker_loops import WorkerLoops
from hms_svc.runtime.worker_options import Engines, WorkerOptions
from hms_svc.runtime.workers_here import working_here
from hms_svc.sdk.job_context import worker_running
from hms_svc.sdk.registry import Registry

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
    then it `is_dismissed`, and must not be replaced. `isolation` runs isolated types; without it
    BadSetting is raised if there are any.
    """

    def __init__(
        self,
        engines: Engines,
        options: WorkerOptions,
        *,
        on_suspects: Callable[[], None] = _do_nothing,
        on_stop: Callable[[], None] = _do_nothing,
        send_report: Callable[[bytes], bool] | None = None,
        isolation: Isolation = NO_ISOLATION,
    ) -> None:
        if isolation is NO_ISOLATION:
            _refuse_isolated(engines.registry)
        self._engines = engines
        self._isolation = isolation
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
        threads = PlainThreads(self._options.slots, asyncio.get_running_loop())
        loops = WorkerLoops(
            self._engines,
            self._options,
            in_flight=self.in_flight,
            threads=threads,
            stop=self.stop,
            on_no_slot=self._end_as_hung,
            send_report=self._send_report,
            isolation=self._isolation,
        )
        loops.heartbeat.start()
        try:
            await self._registered(loops.heartbeat)
            await self._record_request()
            with worker_running(), working_here(self._engines, self._options):
                await self._work(loops)
            await _flush(loops)
        finally:
            await loops.heartbeat.stop()
            threads.close()
        await self._unregister()

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

    async def _work(self, loops: WorkerLoops) -> None:
        services, claimer = [*loops.services, self._listener(loops)], loops.claimer
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(service.run(), name=service.name) for service in services]
            claiming = group.create_task(claimer.run(), name=claimer.name)
            await self._stop.wait()
            claimer.stop()
            loops.heartbeat.show(WorkerState.STOPPING)
            await asyncio.wait({claiming})
            loops.runs.release_waiting()
            await self._drain(loops.runs)
            for service in services:
                service.stop()
            await asyncio.wait(tasks)

    def _listener(self, loops: WorkerLoops) -> Listener:
        return Listener(
            self._engines.broker,
            self._options.worker_id,
            tuple(declared.type for declared in self._engines.registry),
            self.in_flight,
            on_suspects=lambda: self._report_suspects(loops.claimer),
            on_wanted=lambda wanted: self._apply_request(wanted, loops),
        )

    def _report_suspects(self, claimer: Claimer) -> None:
        claimer.expect_suspects()
        self._on_suspects()

    def _apply_request(self, wanted: WorkerState, loops: WorkerLoops) -> None:
        """Apply an operator's request, unless it is already applied or the worker stops."""
        if self._stop.is_set():
            return
        if wanted is WorkerState.STOPPING:
            log.warning("an operator stops this worker; jobs running: %d", len(self.in_flight))
            self.is_dismissed = True
            self.stop()
        elif loops.claimer.is_quiet != (wanted is WorkerState.QUIET):
            log.warning("an operator wants this worker to be %s", wanted)
            loops.claimer.keep_quiet(quiet=wanted is WorkerState.QUIET)
            loops.heartbeat.show(wanted)

    def _end_as_hung(self, slots: str) -> None:
        if not self.is_hung:
            self.is_hung = True
            log.error("functions that do not return hold %s: this worker ends", slots)
            self.stop()

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
            log.warning("the grace period is over; jobs still running: %d", len(self.in_flight))
        self.is_stuck = True
        runs.release_waiting()
        for running in self.in_flight.all():
            running.interrupt()
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self.in_flight.empty.wait()
        except TimeoutError:
            for running in self.in_flight.all():
                runs.release(running)
            runs.release_expected()

    async def _unregister(self) -> None:
        """Leave the register, after the last heartbeat."""
        try:
            await self._engines.broker.unregister(self._options.worker_id)
        except Outage as error:
            log.warning("at the end: %s", error)


def _refuse_isolated(registry: Registry) -> None:
    for declared in registry:
        if declared.isolate is not None:
            raise BadSetting(
                f"{declared.place}: type {declared.type} is isolated, and only `serve` and the "
                "console's worker processes, which load the application by its name, can run it"
            )


async def _flush(loops: WorkerLoops) -> None:
    """Write what is still waiting, once; an outage is logged."""
    await loops.settler.flush()
    try:
        await loops.progress.run_once()
        await loops.relay.run_once()
    except Outage as error:
        log.warning("at the end: %s", error)
    if loops.reporter is not None:
        loops.reporter.announce_end()
