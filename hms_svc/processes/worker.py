"""A worker process of `serve`."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from hms_svc import bootstrap
from hms_svc.domain.errors import HmsError
from hms_svc.domain.job import Lane
from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import WorkerRequest, WorkerState
from hms_svc.observability.application_logs import application_logging
from hms_svc.observability.logs import set_up_logging
from hms_svc.processes.child_exit import exit_code_of
from hms_svc.processes.child_spec import ChildSpec, Role
from hms_svc.processes.first_worker import wait_to_begin
from hms_svc.processes.isolated_processes import IsolatedProcesses
from hms_svc.processes.report_socket import sender_of
from hms_svc.processes.shutdown import leave_if_stuck, leave_now, stop_on_signals
from hms_svc.processes.supervisor import (
    DISMISSED,
    DONE,
    READY,
    REPLACED_CODE,
    STOPPING,
    SUSPECTS,
    send,
    stop_reason,
)
from hms_svc.runtime.isolation import Isolation
from hms_svc.runtime.worker import Worker
from hms_svc.runtime.worker_options import Engines
from hms_svc.sdk.captured_output import captured_output
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.standard_streams import provide_standard_streams
from hms_svc.settings import Settings, load_settings

log: Final = logging.getLogger("hms_svc.runtime")
LANE_IDLE_SECONDS: Final = 30.0


def run_worker(line: str, spec: str) -> int:
    """Run one worker, with the descriptor of the control socket and the spec as JSON."""
    return _run_spec(socket.socket(fileno=int(line)), msgspec.json.decode(spec, type=ChildSpec))


def run_first_worker(line: str) -> int:
    """Load what every worker needs, wait for the spec on the control socket, and run the worker."""
    control = socket.socket(fileno=int(line))
    with suppress(HmsError):  # the command line reports what is wrong, and may have other settings
        bootstrap.load_worker_modules(load_settings().settings)
    begun = wait_to_begin(control)
    if begun is None:
        return 0
    spec, reports = begun
    return _run_spec(control, replace(msgspec.json.decode(spec, type=ChildSpec), reports=reports))


def _run_spec(line: socket.socket, spec: ChildSpec) -> int:
    async def work(settings: Settings, registry: Registry) -> None:
        await _work(settings, registry, spec, line)

    return exit_code_of(lambda: in_application(work))


def in_application(work: Callable[[Settings, Registry], Coroutine[Any, Any, None]]) -> None:
    """Load the application of the environment's settings, and run this with captured output."""
    settings = load_settings().settings
    provide_standard_streams()
    set_up_logging(settings.log_level, settings.log_format)
    # Before output is captured: handlers of logs that it makes are for this process.
    registry = bootstrap.application(settings, ready=True)
    with (
        application_logging(settings.log_level, settings.log_format),
        captured_output(pass_on=False),
    ):
        asyncio.run(work(settings, registry))


async def _work(
    settings: Settings, registry: Registry, spec: ChildSpec, line: socket.socket
) -> None:
    for replacement in registry.replacements:
        log.info("%s", replacement)
    if spec.types:
        registry = registry.only(spec.types)
    opening = _Opening(line)
    try:
        async with bootstrap.engines(
            settings, registry, spec.worker_id, on_replaced=lambda: leave_now(REPLACED_CODE)
        ) as engines:
            opening.end()
            async with IsolatedProcesses(settings, engines, spec.worker_id) as isolation:
                worker = await _run(engines, settings, spec, line, isolation)
    except asyncio.CancelledError:
        if not opening.was_stopped:
            raise
        send(line, DONE)
        leave_now()  # an engine that was being opened may have left a thread
    send(line, DONE)
    if worker is not None:
        leave_if_stuck(worker)


class _Opening:
    """Until it ends, the current task is cancelled if the worker has to stop: it has no job yet."""

    def __init__(self, line: socket.socket) -> None:
        self.was_stopped = False
        self._line = line.fileno()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._loop.add_reader(self._line, self._stop)

    def _stop(self) -> None:
        reason = stop_reason(self._line)
        if not reason or self._task is None:
            return
        self.end()
        self.was_stopped = True
        log.info("stopping: %s; the worker was not ready", reason)
        self._task.cancel()

    def end(self) -> None:
        """Leave the control socket to the worker."""
        self._loop.remove_reader(self._line)


async def _run(
    engines: Engines,
    settings: Settings,
    spec: ChildSpec,
    line: socket.socket,
    isolation: Isolation,
) -> Worker | None:
    loop = asyncio.get_running_loop()
    request = await _take_over(engines, spec.predecessor) if spec.predecessor else None
    if request is not None and request.state is WorkerState.STOPPING:
        log.warning("an operator has stopped %s: it is not replaced", spec.predecessor)
        send(line, DISMISSED)
        return None
    options = bootstrap.worker_options(settings, worker_id=spec.worker_id, drain=spec.drain)
    if request is not None and request.state is WorkerState.QUIET:
        options = replace(options, quiet=request)
    if spec.role is Role.SUSPECTS:
        options = replace(options, slots=1, lane=Lane.SUSPECT, idle_seconds=LANE_IDLE_SECONDS)
    worker = Worker(
        engines,
        options,
        on_suspects=lambda: send(line, SUSPECTS),
        on_stop=lambda: send(line, DISMISSED if worker.is_dismissed else STOPPING),
        send_report=sender_of(spec.reports),
        isolation=isolation,
    )
    stop_on_signals(worker)
    line.setblocking(False)

    def on_line() -> None:
        if reason := stop_reason(line.fileno()):
            loop.remove_reader(line.fileno())
            log.info("stopping: %s; jobs running: %d", reason, worker.in_flight.unsettled())
            worker.stop()

    loop.add_reader(line.fileno(), on_line)
    send(line, READY)
    served = ", ".join(declared.type for declared in engines.registry)
    if options.lane is Lane.SUSPECT:
        log.info(
            "worker %s repeats jobs alone, after their worker died: %s", options.worker_id, served
        )
    else:
        slots = plural(options.slots, "slot")
        log.info("worker %s serves %s with %s", options.worker_id, served, slots)
    gc.freeze()
    gc.enable()
    await worker.run()
    return worker


async def _take_over(engines: Engines, predecessor: str) -> WorkerRequest | None:
    """End the leases and the register entry of a dead worker; return an operator's request to it."""
    live, silent = await engines.inspection.register()
    views = [view for view in (*live, *silent) if view.id == predecessor]
    if left := await engines.broker.abandon(predecessor):
        log.warning("worker %s has died; its jobs, whose leases are ended: %d", predecessor, left)
    await engines.broker.unregister(predecessor)
    return views[0].request if views else None
