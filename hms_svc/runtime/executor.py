"""Runs one job: payload, validators, vet, handler, and always returns an outcome."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate, isawaitable, signature
from typing import Any, Final

from hms_svc.domain.errors import HandlerExited
from hms_svc.ports.clock import Clock
from hms_svc.runtime.decide import Decided, Outcome
from hms_svc.runtime.isolation import NO_ISOLATION, Isolation
from hms_svc.runtime.run_outcome import inconclusive, outcome_of
from hms_svc.runtime.threads import Done, PlainThreads
from hms_svc.sdk import job_context
from hms_svc.sdk.fork_guard import leave_if_forked
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.middleware import run_through
from hms_svc.sdk.open_resources import BoundType
from hms_svc.sdk.running_job import RunningJob, enter_job
from hms_svc.sdk.validation import Steps
from hms_svc.sdk.value_checks import is_async

log: Final = logging.getLogger("hms_svc.runtime")


def _do_nothing() -> None:
    """Default callback."""


class Executor:
    """Runs claimed jobs: `async` handlers as tasks of the loop, plain ones on threads."""

    def __init__(
        self,
        threads: PlainThreads,
        clock: Clock,
        *,
        timeout_seconds: float,
        bound: Mapping[str, BoundType],
        isolation: Isolation = NO_ISOLATION,
    ) -> None:
        self._threads = threads
        self._bound = bound
        self._isolation = isolation
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._plans: dict[str, TypePlan] = {}
        self._ended: deque[tuple[Done, Any, BaseException | None]] = deque()
        self._context = contextvars.copy_context()
        self._on_reported: Callable[[], None] = _do_nothing

    def call_when_reported(self, function: Callable[[], None]) -> None:
        """Call the function once for all jobs whose outcomes were reported together."""
        self._on_reported = self._threads.on_reported = function

    def runs_elsewhere(self, declared: JobType) -> bool:
        """Return whether the jobs of a type run in other processes."""
        return declared.isolate is not None and self._isolation is not NO_ISOLATION

    def start(
        self, job: RunningJob, declared: JobType, finished: Callable[[Outcome], None]
    ) -> asyncio.Task[Any] | None:
        """Start a job; `finished` is called with the outcome, once, on the loop.

        Return the task if there is one that can be cancelled. A job with only plain functions
        runs in one call on a thread.
        """
        plan = self._plans.get(declared.type)
        if plan is None:
            plan = TypePlan(
                declared,
                self._bound.get(declared.type),
                is_elsewhere=self.runs_elsewhere(declared),
            )
            self._plans[declared.type] = plan
        done = partial(self._done, job, declared, finished)
        if plan.is_elsewhere:
            return self._start_isolated(job, done, finished)
        if plan.is_plain:
            run = partial(self._run_on_thread, job, plan)
            self._threads.submit(contextvars.copy_context(), run, done)
            return None
        report = partial(self._report, done)
        task = RunTask(self._run_on_loop(job, plan, report), loop=self._loop)
        task.report = report
        return task

    def _start_isolated(
        self, job: RunningJob, done: Done, finished: Callable[[Outcome], None]
    ) -> asyncio.Task[Any]:
        """Run a job in another process, which decides what becomes of it unless it is killed or dies."""

        def ended(disposition: Any, error: BaseException | None) -> None:
            if error is None:
                finished(Decided(disposition))
            else:
                done(None, error)

        report = partial(self._report, ended)
        task = RunTask(self._run_isolated(job, report), loop=self._loop)
        task.report = report
        return task

    async def _run_isolated(self, job: RunningJob, report: Done) -> None:
        disposition, error = None, None
        try:
            disposition = await self._isolation.run(job)
        except BaseException as raised:  # noqa: BLE001 - becomes the outcome
            error = raised
        report(disposition, error)
        error = None  # its traceback refers to this frame

    def _report(self, done: Done, result: Any, error: BaseException | None) -> None:
        """Report an end on the loop, outside of the job's task and context, with others that ended."""
        self._ended.append((done, result, error))
        if len(self._ended) == 1 and not self._loop.is_closed():
            self._loop.call_soon(self._deliver, context=self._context)

    def _deliver(self) -> None:
        ended, self._ended = self._ended, deque()
        try:
            while ended:
                done, result, error = ended.popleft()
                done(result, error)
        finally:
            for rest in ended:
                self._report(*rest)
            self._on_reported()

    def _done(
        self,
        job: RunningJob,
        declared: JobType,
        finished: Callable[[Outcome], None],
        result: Any,
        error: BaseException | None,
    ) -> None:
        try:
            outcome = outcome_of(job, declared, result, error, self._timeout_seconds)
        except BaseException as broken:  # noqa: BLE001 - names and texts are the handler's own
            outcome = inconclusive(broken)
        finished(outcome)

    def _run_on_thread(self, job: RunningJob, plan: TypePlan) -> Any:
        """Run a job with only plain functions, on this thread."""
        job.thread = threading.get_ident()
        enter_job(job)
        try:
            if job.trace is None and not plan.has_steps:
                return _handle_plain(job, plan)
            with job.stage("validate"):
                job.validating = True
                for step in plan.steps.validation(job):
                    step.run_here(job, partial(_await_on_loop, job))
                job.validating = False
            with job.stage("handle"):
                return _handle_plain(job, plan)
        finally:
            job.thread = 0
            job.overran = self._clock.lease_ms() > job.expires_ms

    async def _run_on_loop(self, job: RunningJob, plan: TypePlan, report: Done) -> None:
        result, error = None, None
        try:
            if plan.middleware:
                result = await self._run_through(job, plan)
            else:
                result = await self._run(job, plan)
        except BaseException as raised:  # noqa: BLE001 - becomes the outcome
            error = raised
        if job_context.forked:
            leave_if_forked(error)
        late_ms = self._clock.lease_ms() - job.expires_ms
        if late_ms > 0:
            _note_overrun(job, plan, late_ms)
        report(result, error)
        error = None  # its traceback refers to this frame

    async def _run(self, job: RunningJob, plan: TypePlan) -> Any:
        enter_job(job)
        try:
            if job.trace is None and not plan.has_steps:
                return await self._handle(job, plan)
            await self._check(job, plan)
            with job.stage("handle"):
                return await self._handle(job, plan)
        except (SystemExit, KeyboardInterrupt) as error:  # the loop would end with it
            raise HandlerExited.of(error) from error

    async def _run_through(self, job: RunningJob, plan: TypePlan) -> Any:
        """Run a job through its middleware, which writes nothing before the validators have accepted it."""
        enter_job(job)
        job.validating = plan.has_steps
        try:
            return await run_through(plan.middleware, job, partial(self._run, job, plan))
        except (SystemExit, KeyboardInterrupt) as error:
            raise HandlerExited.of(error) from error

    async def _call(self, job: RunningJob, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a plain function of the job on a thread."""

        def run() -> Any:
            with _on_thread(job):
                return function(*arguments)

        return await self._threads.call(run)

    async def _check(self, job: RunningJob, plan: TypePlan) -> None:
        """Run what a job has to pass before its handler."""
        task = asyncio.current_task()
        with job.stage("validate"):
            job.validating = True
            for step in plan.steps.validation(job):
                await step.run(job, partial(self._call, job))
                _raise_if_cancelled(task)
            job.validating = False
        for vet in plan.steps.governance:
            await vet.run(job, partial(self._call, job))

    async def _handle(self, job: RunningJob, plan: TypePlan) -> Any:
        arguments = (job,) if plan.takes_job else ()
        if plan.is_async:
            result = await plan.handler(*arguments)
        else:
            result = await self._call(job, plan.handler, *arguments)
        while result is not None and isawaitable(result):
            _raise_if_cancelled(asyncio.current_task())
            result = await result
        return result


class RunTask(asyncio.Task[None]):
    """The task of a run, whose coroutine reports its own end: a callback for each would cost more."""

    report: Done

    def cancel(self, msg: Any = None) -> bool:
        """Cancel the run; report its end if it has not begun, because then its coroutine cannot."""
        coroutine: Any = self.get_coro()
        if getcoroutinestate(coroutine) == CORO_CREATED and not self.cancelling():
            self.add_done_callback(lambda _: self.report(None, asyncio.CancelledError()))
        return super().cancel(msg)


class TypePlan:
    """What is the same for every job of a type, determined once."""

    def __init__(
        self, declared: JobType, bound: BoundType | None = None, *, is_elsewhere: bool = False
    ) -> None:
        self.is_elsewhere = is_elsewhere
        self.handler = declared.handler if bound is None else bound.handler
        self.middleware = () if bound is None else bound.middleware
        self.takes_job = bool(signature(declared.handler).parameters)
        self.is_async = is_async(declared.handler)
        self.steps = Steps(declared)
        self.has_steps = self.steps.number > 0
        self.is_plain = not self.is_async and self.steps.is_plain and not self.middleware


def _handle_plain(job: RunningJob, plan: TypePlan) -> Any:
    result = plan.handler(job) if plan.takes_job else plan.handler()
    while result is not None and isawaitable(result):
        result = _await_on_loop(job, result)
    return result


def _note_overrun(job: RunningJob, plan: TypePlan, late_ms: int) -> None:
    job.overran = True
    if plan.is_async and not job.timed_out:
        log.warning(
            "job %s (%s) returned %.1f s after its timeout and could not be cancelled: a "
            "blocking call in an async handler blocked the event loop",
            job.id,
            job.type,
            late_ms / 1000,
            extra=job.log_fields,
        )


@contextmanager
def _on_thread(job: RunningJob) -> Iterator[None]:
    """Record the thread on which a plain function of the job runs, while it runs."""
    job.thread = threading.get_ident()
    try:
        yield
    finally:
        job.thread = 0


def _await_on_loop(job: RunningJob, awaitable: Awaitable[Any]) -> Any:
    """Await on the job's loop what a plain function returned, and wait for it on this thread."""

    async def wait() -> Any:
        return await awaitable

    job.awaited = asyncio.run_coroutine_threadsafe(wait(), job.loop)
    try:
        return job.awaited.result()
    except futures.CancelledError:
        raise asyncio.CancelledError from None
    finally:
        job.awaited = None


def _raise_if_cancelled(task: asyncio.Task[Any] | None) -> None:
    """Stop between two functions if the run's task was cancelled while one was on its thread."""
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
