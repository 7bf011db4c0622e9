"""Workers that run as long as a console: on a thread of it, or in child processes."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from hms_svc import bootstrap
from hms_svc.domain.errors import DatabaseUnavailable, HmsError, Outage, ResourceFailed
from hms_svc.domain.plain_text import plain
from hms_svc.observability.application_logs import application_logging
from hms_svc.processes.child_spec import ChildSpec, start_child
from hms_svc.processes.isolated_processes import IsolatedProcesses
from hms_svc.processes.supervisor import OUTAGE_CODE, READY, STOP, STOP_NOW, receive, send
from hms_svc.processes.suspect_lane import SuspectLane
from hms_svc.runtime.worker import Worker
from hms_svc.runtime.worker_ids import make_worker_id
from hms_svc.sdk.captured_output import captured_output
from hms_svc.settings import Settings, child_environment

if TYPE_CHECKING:
    import socket

    from hms_svc.runtime.worker_options import Engines, WorkerOptions
    from hms_svc.sdk.registry import Registry

log: Final = logging.getLogger("hms_svc.runtime")
SHORTEST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 5.0
BY_OPERATOR: Final = "stopped by an operator"


class EmbeddedWorkers:
    """The common base: a thread that supervises the workers, a state text, and an end to wait for."""

    def __init__(self, settings: Settings, types: Iterable[str] = ()) -> None:
        self._settings = bootstrap.resolve(settings)
        self._types = tuple(types)
        self._ended: Future[None] = Future()
        self._started = threading.Event()
        self._stops = 0
        self._state = "not started"

    @property
    def state(self) -> str:
        """A short text about the state of the workers."""
        return self._state

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether `stop` was called."""
        return self._stops > 0

    def start(self) -> None:
        """Start, once; after an outage at the start it tries again until the outage is over."""
        if self._state != "not started":
            return
        self._state = "starting"
        threading.Thread(target=self._run_in_thread, name="hms-svc-workers", daemon=True).start()

    def stop(self) -> None:
        """Let running jobs finish within the grace period; a second call cancels or releases them."""
        self._stops += 1
        if self._state == "not started":
            self._end("stopped")
        elif not self._ended.done():
            self._state = "stopping"
            self._pass_stop()

    async def wait_stopped(self) -> None:
        """Wait until all workers have stopped."""
        await asyncio.shield(asyncio.wrap_future(self._ended))

    def wait_started(self) -> None:
        """Block until a worker has begun to claim, or all have stopped."""
        self._started.wait()

    def join(self, seconds: float) -> bool:
        """Block until the workers have stopped; return False if they have not within `seconds`."""
        try:
            self._ended.result(seconds)
        except TimeoutError:
            return False
        return True

    def _run_in_thread(self) -> None:
        try:
            self._work()
        except HmsError as error:
            log.exception("the workers stopped")
            self._end(f"stopped: {plain(str(error))}")
        finally:
            self._end("stopped" if self._stops else "stopped: see the log")

    def _end(self, state: str) -> None:
        if not self._ended.done():
            self._state = state
            self._ended.set_result(None)
            self._started.set()

    def _work(self) -> None:
        raise NotImplementedError

    def _pass_stop(self) -> None:
        raise NotImplementedError


class ThreadWorkers(EmbeddedWorkers):
    """One worker on its own thread, with its own loop and engines; suspects run in a child process."""

    def __init__(self, settings: Settings, types: Iterable[str] = ()) -> None:
        super().__init__(settings, types)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_requested = asyncio.Event()
        self._worker: Worker | None = None
        self._opening: asyncio.Task[None] | None = None
        self._lane = SuspectLane(self._types, child_environment(self._settings))

    def start(self) -> None:
        """Start, once; after an outage at the start it tries again until the outage is over."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        super().start()

    def _work(self) -> None:
        assert self._loop is not None
        loop, settings = self._loop, self._settings
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            # Before output is captured: handlers of logs that it makes are for this process.
            registry = bootstrap.application(settings, ready=True)
            if self._types:
                registry = registry.only(self._types)
            with (
                application_logging(settings.log_level, settings.log_format),
                captured_output(pass_on=False, to_process=True),
            ):
                runner.run(self._serve(registry))

    def _pass_stop(self) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._pass_on_stop)
        except RuntimeError:
            log.debug("the event loop of the workers has already ended")

    def _pass_on_stop(self) -> None:
        self._stop_requested.set()
        self._lane.stop()
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
        elif self._worker is not None:
            if self._stops > 1:
                self._worker.stop_now()
            self._worker.stop()

    async def _serve(self, registry: Registry) -> None:
        wait_seconds = SHORTEST_WAIT_SECONDS
        while not self._stop_requested.is_set():
            try:
                worker_id = make_worker_id()
                self._opening = asyncio.current_task()
                async with bootstrap.engines(
                    self._settings, registry, worker_id, on_replaced=self._leave_replaced_files
                ) as engines:
                    await self._run(engines, worker_id)
            except (Outage, ResourceFailed) as error:
                self._opening = None
                if not self._stop_requested.is_set():
                    log.warning("the workers wait until they can begin: %s", error)
                    self._state = _waiting_text(error)
                    await self._pause(wait_seconds)
                wait_seconds = min(LONGEST_WAIT_SECONDS, wait_seconds * 2)
            except asyncio.CancelledError:
                if not self._stop_requested.is_set():
                    raise

    def _leave_replaced_files(self) -> None:
        """Stop the worker because its files were replaced; the next one opens the new files."""
        if self._worker is not None:
            self._worker.stop_now()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop_requested.wait()
        except TimeoutError:
            return

    async def _run(self, engines: Engines, worker_id: str) -> None:
        self._opening = None
        async with IsolatedProcesses(self._settings, engines, worker_id) as isolation:
            options = bootstrap.worker_options(self._settings, worker_id=worker_id)
            self._worker = Worker(
                engines, options, on_suspects=self._lane.need, isolation=isolation
            )
            await self._run_worker(self._worker, options)

    async def _run_worker(self, worker: Worker, options: WorkerOptions) -> None:
        if self._stop_requested.is_set():
            return
        self._state = f"{options.slots} slots, thread"
        self._started.set()
        log.info("worker %s runs on a thread with %d slots", options.worker_id, options.slots)
        await worker.run()
        if worker.is_dismissed:
            self._lane.stop()
            self._stop_requested.set()
        if self._stop_requested.is_set():
            await self._lane.wait_stopped()
            if worker.is_dismissed:
                self._end(BY_OPERATOR)
        elif worker.is_hung:
            # Functions that do not return hold all its threads: another worker has its own.
            log.error(
                "worker %s is replaced; its threads still run their functions", options.worker_id
            )


class ProcessWorkers(EmbeddedWorkers):
    """The supervisor of `serve` as a child process, which ends when this process does."""

    def __init__(self, settings: Settings, types: Iterable[str] = ()) -> None:
        super().__init__(settings, types)
        self._stop_requested = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def _work(self) -> None:
        wait_seconds = SHORTEST_WAIT_SECONDS
        while not self._stop_requested.is_set():
            code = self._supervise()
            if self._stop_requested.is_set():
                return
            if code != OUTAGE_CODE:
                self._end(f"stopped with {code}: see the log" if code else BY_OPERATOR)
                return
            self._state = "waiting for broker and database: see the log"
            self._stop_requested.wait(wait_seconds)
            wait_seconds = min(LONGEST_WAIT_SECONDS, wait_seconds * 2)

    def _supervise(self) -> int:
        self._process, line = start_child(
            "hms_svc.processes.supervisor_main",
            [ChildSpec(types=self._types)],
            child_environment(self._settings),
        )
        line.setblocking(True)
        with line:
            self._line = line
            if self._stop_requested.is_set():
                self._pass_stop()
            while received := receive(line):
                if READY in received and not self._stop_requested.is_set():
                    self._state = f"{self._settings.concurrency} slots, process"
                    self._started.set()
            self._line = None
        return self._process.wait()

    def _pass_stop(self) -> None:
        self._stop_requested.set()
        send(self._line, STOP if self._stops == 1 else STOP_NOW)


def _waiting_text(error: Outage | ResourceFailed) -> str:
    awaited = "broker"
    if isinstance(error, DatabaseUnavailable):
        awaited = "database"
    elif isinstance(error, ResourceFailed):
        awaited = "application"
    return f"waiting for the {awaited}: {plain(str(error))}"
