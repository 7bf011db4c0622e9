"""Middleware: functions around each job of an application, from payload check to handler."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from traceback import walk_tb
from typing import Any, Final, TypeAlias

from hms_svc.domain.errors import ActionHeld, HmsError, LeaseLost, ValidationFailed
from hms_svc.domain.outcome import JobOutcome
from hms_svc.sdk.payload import PayloadFault
from hms_svc.sdk.running_job import RunningJob
from hms_svc.sdk.source_places import code_of, function_of, name_of
from hms_svc.sdk.validation import NO_FAULT, ValidatorFault

Run: TypeAlias = Callable[[], Awaitable[Any]]
"""Awaited, it runs the rest of the job, and returns its result or raises its error; once."""
Middleware: TypeAlias = Callable[[RunningJob, Run], Awaitable[Any]]
VERDICTS: Final = (ValidationFailed, ActionHeld, PayloadFault, LeaseLost)
"""Verdicts that middleware cannot change (a denied action is a ValidationFailed)."""


class MiddlewareFault(HmsError):
    """A middleware ended a job without having run it to its end, or ran it twice."""


async def run_through(middleware: Sequence[Middleware], job: RunningJob, run: Run) -> Any:
    """Run a job through its middleware, the first outermost; return or raise what the outermost does.

    A verdict on the job is raised again if the middleware does not let it through.
    """
    innermost = _Innermost(job, run)
    call: Run = innermost
    for each in reversed(middleware):
        call = _Layer(each, job, _Once(call, each))
    try:
        result = await call()
    except BaseException as error:
        if innermost.verdict is not None and innermost.verdict is not error:
            raise innermost.verdict from error
        if innermost.fault is not None and error is innermost.fault.__cause__:
            raise innermost.fault from error
        if (name := _raising(middleware, error)) and not isinstance(error, NO_FAULT):
            raise ValidatorFault(name) from error
        raise
    if innermost.verdict is not None:
        raise innermost.verdict
    return result


def _raising(middleware: Sequence[Middleware], error: BaseException) -> str:
    """Return the name of the middleware that raised an error itself; empty if the job's run raised it."""
    codes = [frame.f_code for frame, _ in walk_tb(error.__traceback__)]
    if not isinstance(error, Exception) or _Innermost.__call__.__code__ in codes:
        return ""
    found = [each for each in reversed(middleware) if code_of(each) in codes]
    return getattr(function_of(found[0]), "__name__", "middleware") if found else ""


class _Innermost:
    """The run of the job itself, and the verdict or the fault of a validator that ended it, if one did.

    Middleware sees the error of a validator itself; its `fault` has the validator's name.
    """

    def __init__(self, job: RunningJob, run: Run) -> None:
        self._job = job
        self._run = run
        self.verdict: BaseException | None = None
        self.fault: ValidatorFault | None = None

    async def __call__(self) -> Any:
        try:
            if self._job.interrupted:
                raise asyncio.CancelledError
            return await self._run()
        except ValidatorFault as fault:
            self.fault = fault
        except VERDICTS as error:
            self.verdict = error
            raise
        except asyncio.CancelledError as error:
            if self._job.interrupted:
                self.verdict = error
            raise
        raise (
            self.fault.__cause__ or self.fault
        )  # here, so that its context does not become the fault


class _Once:
    """The `run` that one middleware gets."""

    def __init__(self, run: Run, middleware: Middleware) -> None:
        self._run = run
        self._middleware = middleware
        self._has_begun = False
        self.has_ended = False

    async def __call__(self) -> Any:
        if self._has_begun:
            raise MiddlewareFault(f"middleware {name_of(self._middleware)} called run() twice")
        self._has_begun = True
        try:
            return await self._run()
        finally:
            self.has_ended = True


class _Layer:
    """One middleware around the rest of a job."""

    def __init__(self, middleware: Middleware, job: RunningJob, run: _Once) -> None:
        self._middleware = middleware
        self._job = job
        self._run = run

    async def __call__(self) -> Any:
        result: Any = await self._middleware(self._job, self._run)
        while isawaitable(result):
            result = await result
        if not self._run.has_ended and not isinstance(result, JobOutcome):
            raise MiddlewareFault(
                f"middleware {name_of(self._middleware)} returned without having awaited run(): "
                "await it, or return an outcome such as Snooze(60)"
            )
        return result
