"""The processes of isolated handlers, as their worker keeps them: one job at a time in each, and warm."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, Self

import msgspec

from hms_svc.domain.errors import DatabaseUnavailable, HandlerProcessDied
from hms_svc.domain.outcome import Disposition
from hms_svc.processes.child_spec import ChildSpec, start_child
from hms_svc.processes.isolated_messages import (
    Begin,
    Ended,
    Renewed,
    receive_message,
    send_message,
)
from hms_svc.runtime.worker_options import Engines
from hms_svc.sdk.running_job import RunningJob
from hms_svc.settings import Settings, child_environment

log: Final = logging.getLogger("hms_svc.runtime")
MODULE: Final = "hms_svc.processes.isolated_main"
RECALL_SECONDS: Final = 2.0
"""How long a cancelled run waits at most for what its killed process has committed."""
RENEWAL_SECONDS: Final = 0.5
"""How often a running process is notified of a renewed lease."""
START_MS: Final = 60_000
"""How long a process may take until it is ready, beside the timeout of the job that waits for it."""
CLOSE_SECONDS: Final = 3.0
"""How long an idle process may take to close its resources."""


class IsolatedProcess:
    """One process. It is ready when it has opened what its handlers use."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process = process
        self.reader = reader
        self.writer = writer
        self.jobs = 0

    def kill(self) -> None:
        """Kill it with the processes that it has started, and reap it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self.process.kill()
        self.process.wait()
        self.writer.close()

    async def end_text(self) -> str:
        """Return how it ended; call it after its socket was closed, which its handler may have done, too."""
        try:
            code = await asyncio.to_thread(self.process.wait, CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it closed its connection to the worker, and was killed"
        if code < 0:
            return f"it was ended by the signal {signal.Signals(-code).name}"
        return f"it ended with exit code {code}"


class IsolatedProcesses:
    """Implements `runtime.isolation.Isolation` with processes that load the application by its name.

    Use it as `async with`: one process for each isolated type is started ahead.
    """

    def __init__(self, settings: Settings, engines: Engines, worker_id: str) -> None:
        self._environment = child_environment(settings)
        self._engines = engines
        self._worker_id = worker_id
        self._idle: defaultdict[str, list[IsolatedProcess]] = defaultdict(list)
        self._starting: defaultdict[str, list[asyncio.Task[IsolatedProcess]]] = defaultdict(list)
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        for declared in self._engines.registry:
            if declared.isolate is not None:
                self._prepare(declared.type)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._closed = True
        starting = [task for tasks in self._starting.values() for task in tasks]
        for task in starting:
            task.cancel()
        if waited := {*starting, *self._ending}:
            await asyncio.wait(waited)
        idle = [each for processes in self._idle.values() for each in processes]
        self._idle.clear()
        await asyncio.gather(*map(self._end, idle))

    async def run(self, job: RunningJob) -> Disposition:
        """Run a job in an idle process, or in a new one; see Isolation."""
        process: IsolatedProcess | None = None
        ended: Disposition | None = None
        try:
            process = await self._take_for(job)
            ended = await self._run_in(process, job)
        finally:
            if ended is None:
                if process is not None:
                    process.kill()
                self._prepare_next(job.type)
                await _to_its_end(self._recall(job))
        self._give_back(job.type, process)
        return ended

    async def _take_for(self, job: RunningJob) -> IsolatedProcess:
        """Take a process for a job, whose time begins when there is one."""
        clock = self._engines.clock
        began = clock.lease_ms()
        allowed_ms = job.expires_ms - began
        job.expires_ms += START_MS
        process = await self._take(job.type)
        job.expires_ms = clock.lease_ms() + allowed_ms
        job.deadline_ms = clock.now_ms() + allowed_ms
        return process

    async def _take(self, type: str) -> IsolatedProcess:
        while self._idle[type]:
            process = self._idle[type].pop()
            if process.process.poll() is None:
                return process
            process.writer.close()
        if self._starting[type]:
            return await self._starting[type].pop(0)
        return await self._start(type)

    async def _start(self, type: str) -> IsolatedProcess:
        spec = ChildSpec(types=(type,), worker_id=self._worker_id)
        popen, control = start_child(MODULE, spec, self._environment)
        try:
            reader, writer = await asyncio.open_connection(sock=control)
        except BaseException:
            popen.kill()
            popen.wait()
            control.close()
            raise
        process = IsolatedProcess(popen, reader, writer)
        try:
            if await receive_message(process.reader) is None:
                how = await process.end_text()
                raise HandlerProcessDied(
                    f"the process for the handler of {type} could not start: {how}; "
                    "the log has the reason"
                )
        except BaseException:
            process.kill()
            raise
        return process

    async def _run_in(self, process: IsolatedProcess, job: RunningJob) -> Disposition:
        process.jobs += 1
        lease_until = job.lease_until
        claimed = msgspec.structs.replace(job.claimed, lease_until=lease_until)
        send_message(process.writer, Begin(claimed))
        answer = asyncio.ensure_future(receive_message(process.reader))
        try:
            while not answer.done():
                await asyncio.wait({answer}, timeout=RENEWAL_SECONDS)
                if job.lease_until != lease_until:
                    lease_until = job.lease_until
                    send_message(process.writer, Renewed(lease_until))
        finally:
            answer.cancel()
        message = answer.result()
        if not isinstance(message, Ended):
            how = await process.end_text()
            raise HandlerProcessDied(f"the process that ran the handler died: {how}")
        return message.disposition

    async def _recall(self, job: RunningJob) -> None:
        """Read what the job has committed, in the step after which its process can commit nothing more."""
        token = job.claimed.token
        job.uncertain = DatabaseUnavailable(f"the process of job {job.id} was killed")
        try:
            [job.effects] = await self._engines.database.effects.recall(
                [(token.job_id, token.fence + 1)]
            )
            job.uncertain = None
        except DatabaseUnavailable as outage:
            job.uncertain = outage

    def _give_back(self, type: str, process: IsolatedProcess) -> None:
        declared = self._engines.registry.get(type)
        most = declared.jobs_per_process if declared is not None else None
        if self._closed or (most is not None and process.jobs >= most):
            task = asyncio.create_task(self._end(process), name=f"end-{type}")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            self._prepare_next(type)
        else:
            self._idle[type].append(process)

    def _prepare_next(self, type: str) -> None:
        if not self._closed and not self._idle[type] and not self._starting[type]:
            self._prepare(type)

    def _prepare(self, type: str) -> None:
        """Start a process ahead; a job may take it before it is ready."""
        task = asyncio.create_task(self._start(type), name=f"start-{type}")
        self._starting[type].append(task)
        task.add_done_callback(partial(self._prepared, type))

    def _prepared(self, type: str, task: asyncio.Task[IsolatedProcess]) -> None:
        if task not in self._starting[type]:
            return  # a job has taken it
        self._starting[type].remove(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("%s", error)
        else:
            self._idle[type].append(task.result())

    async def _end(self, process: IsolatedProcess) -> None:
        """Let an idle process close its resources, and kill it if it does not end."""
        process.writer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await process.reader.read()
        except (TimeoutError, ConnectionError):
            pass
        process.kill()


async def _to_its_end(reading: Coroutine[Any, Any, None]) -> None:
    """Await a reading, also for RECALL_SECONDS after this was cancelled; then raise CancelledError.

    A cancellation may meet a timeout: without the answer neither could be settled.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(reading, name="recall")
    end: float | None = None
    while not task.done() and (end is None or loop.time() < end):
        try:
            await asyncio.wait({task}, timeout=None if end is None else end - loop.time())
        except asyncio.CancelledError:
            end = end or loop.time() + RECALL_SECONDS
    if end is not None:
        raise asyncio.CancelledError
    task.result()
