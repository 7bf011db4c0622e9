"""Runs one job: payload, validators, vet, handler, and always returns an outcome."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from inspect import isawaitable, signature
from typing import Any, Final

from hms_svc.domain.errors import (
    ActionDenied,
    ActionHeld,
    DeliveryFailed,
    EffectConflict,
    HandlerExited,
    LeaseLost,
    MalformedJson,
    Outage,
    ValidationFailed,
)
from hms_svc.domain.outcome import (
    Cancel,
    DeadLetter,
    Failure,
    JobOutcome,
    RetryLater,
    Snooze,
)
from hms_svc.domain.strict_json import check_strict, encode
from hms_svc.ports.clock import Clock
from hms_svc.runtime.decide import (
    BadResult,
    CancelRequested,
    Finished,
    HeldAttempt,
    Outcome,
    PayloadRefused,
    RaisedError,
    RejectedAttempt,
    Stopped,
    TimedOut,
    Unreachable,
)
from hms_svc.runtime.threads import PlainThreads
from hms_svc.sdk.fork_guard import leave_if_forked
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.payload import PayloadFault
from hms_svc.sdk.running_job import RunningJob, enter_job
from hms_svc.sdk.storable_text import writable
from hms_svc.sdk.validation import Steps, ValidatorFault, is_async, name_of, shown

log: Final = logging.getLogger("hms_svc.runtime")
MAX_RESULT_BYTES: Final = 1024 * 1024
LONGEST_DELAY_SECONDS: Final = 10 * 365 * 86_400


class Executor:
    """Runs claimed jobs: `async` handlers as tasks of the loop, plain ones on threads."""

    def __init__(self, threads: PlainThreads, clock: Clock, *, timeout_seconds: float) -> None:
        self._threads = threads
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._plans: dict[str, TypePlan] = {}

    def start(
        self, job: RunningJob, declared: JobType, finished: Callable[[Outcome], None]
    ) -> asyncio.Task[Any] | None:
        """Start a job; `finished` is called with the outcome, once, on the loop.

        Return the task if there is one that can be cancelled. A job with only plain functions
        runs in one call on a thread.
        """
        plan = self._plans.get(declared.type)
        if plan is None:
            plan = self._plans[declared.type] = TypePlan(declared)

        def done(result: Any, error: BaseException | None) -> None:
            try:
                outcome = self.outcome_of(job, declared, result, error)
            except BaseException as broken:  # noqa: BLE001 - names and texts are the handler's own
                outcome = inconclusive(broken)
            finished(outcome)

        if plan.is_plain:
            context = contextvars.copy_context()
            self._threads.submit(context, lambda: self._run_on_thread(job, plan), done)
            return None

        def ended(task: asyncio.Task[Any]) -> None:
            if task.cancelled():
                done(None, asyncio.CancelledError())
            else:
                error = task.exception()
                done(None if error else task.result(), error)

        task = self._loop.create_task(self._run_on_loop(job, plan))
        task.add_done_callback(ended)
        return task

    def _run_on_thread(self, job: RunningJob, plan: TypePlan) -> Any:
        try:
            with _on_thread(job):
                return _run_plain(job, plan)
        finally:
            job.overran = self._clock.lease_ms() > job.expires_ms

    async def _run_on_loop(self, job: RunningJob, plan: TypePlan) -> Any:
        try:
            return await self._run(job, plan)
        finally:
            leave_if_forked(sys.exc_info()[1])
            self._note_end(job, plan)

    def _note_end(self, job: RunningJob, plan: TypePlan) -> None:
        late_ms = self._clock.lease_ms() - job.expires_ms
        job.overran = late_ms > 0
        if job.overran and plan.is_async and not job.timed_out:
            log.warning(
                "job %s (%s) returned %.1f s after its timeout and could not be cancelled: a "
                "blocking call in an async handler blocked the event loop",
                job.id, job.type, late_ms / 1000, extra=job.log_fields,
            )  # fmt: skip

    async def _call(self, job: RunningJob, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a plain function of the job on a thread."""

        def run() -> Any:
            with _on_thread(job):
                return function(*arguments)

        return await self._threads.call(run)

    async def _run(self, job: RunningJob, plan: TypePlan) -> Any:
        enter_job(job)
        try:
            with _validating(job):
                for step in plan.steps.validation(job):
                    await step.run(job, partial(self._call, job))
                    _raise_if_cancelled()
            for vet in plan.steps.governance:
                await vet.run(job, partial(self._call, job))
            with job.stage("handle"):
                arguments = (job,) if plan.takes_job else ()
                if plan.is_async:
                    result = await plan.handler(*arguments)
                else:
                    result = await self._call(job, plan.handler, *arguments)
                while isawaitable(result):
                    _raise_if_cancelled()
                    result = await result
                return result
        except SystemExit as error:
            raise HandlerExited(f"called sys.exit({error.code!r})") from error
        except KeyboardInterrupt as error:  # the loop would end with it
            raise HandlerExited("raised KeyboardInterrupt") from error

    def outcome_of(
        self, job: RunningJob, declared: JobType, result: Any, error: BaseException | None
    ) -> Outcome:
        """Return the outcome of a run; a verdict of governance takes precedence."""
        if job.verdict is not None:
            return verdict_on(job.verdict)
        if job.timed_out:
            return TimedOut(declared.timeout_seconds or self._timeout_seconds)
        if error is None:
            error = next(iter(job.unanswered.copy().values()), None)
        if error is not None:
            return _raised(job, declared, error)
        if isinstance(result, JobOutcome):
            return _returned(declared, result)
        if job.overran and not job.interrupted:
            return TimedOut(declared.timeout_seconds or self._timeout_seconds)
        return _finished(declared, result)


class TypePlan:
    """What is the same for every job of a type, determined once."""

    def __init__(self, declared: JobType) -> None:
        self.handler = declared.handler
        self.takes_job = bool(signature(declared.handler).parameters)
        self.is_async = is_async(declared.handler)
        self.steps = Steps(declared)
        self.is_plain = not self.is_async and self.steps.is_plain


def _run_plain(job: RunningJob, plan: TypePlan) -> Any:
    enter_job(job)
    with _validating(job):
        for step in plan.steps.validation(job):
            step.run_here(job, partial(_await_on_loop, job))
    with job.stage("handle"):
        result = plan.handler(job) if plan.takes_job else plan.handler()
        while isawaitable(result):
            result = _await_on_loop(job, result)
        return result


@contextmanager
def _on_thread(job: RunningJob) -> Iterator[None]:
    """Record the thread on which a plain function of the job runs, while it runs."""
    job.thread = threading.get_ident()
    try:
        yield
    finally:
        job.thread = 0


@contextmanager
def _validating(job: RunningJob) -> Iterator[None]:
    """Let the job write nothing before every validator has accepted it."""
    with job.stage("validate"):
        job.validating = True
        yield
        job.validating = False


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


def _raise_if_cancelled() -> None:
    """Stop between two functions if the job was cancelled while one was on its thread."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def inconclusive(error: BaseException) -> Outcome:
    """Return the outcome of a run whose end could not be determined because of this error."""
    kind = type(error).__name__
    message = f"the outcome of the run could not be determined: {kind}: {writable(error)[:2000]}"
    return BadResult(Failure(kind, message, _traceback_of(error)), "runtime")


def verdict_on(verdict: ActionDenied | ActionHeld) -> Outcome:
    """Return the outcome of a run that governance has denied or held."""
    return (
        HeldAttempt(verdict)
        if isinstance(verdict, ActionHeld)
        else RejectedAttempt(verdict, verdict.rule)
    )


def unless_denied(verdict: ActionDenied | ActionHeld | None, outcome: Outcome) -> Outcome:
    """Return the verdict of governance if there is one: it takes precedence over the outcome."""
    return outcome if verdict is None else verdict_on(verdict)


def _returned(declared: JobType, outcome: JobOutcome) -> Outcome:
    seconds: Any = 0
    if isinstance(outcome, Snooze):
        seconds = outcome.for_seconds
    elif isinstance(outcome, RetryLater) and outcome.after_seconds is not None:
        seconds = outcome.after_seconds
    kind = type(outcome).__name__
    if not isinstance(outcome, RetryLater | Snooze | Cancel | DeadLetter):
        expected = "use RetryLater, Snooze, Cancel or DeadLetter"
        return _bad_result(declared, f"{kind} is an unknown outcome; {expected}")
    if type(seconds) in (int, float) and 0 <= seconds <= LONGEST_DELAY_SECONDS:
        return outcome
    message = f"{kind} takes 0 to {LONGEST_DELAY_SECONDS} seconds, not {shown(seconds)}"
    return _bad_result(declared, message)


def _finished(declared: JobType, result: Any) -> Outcome:
    if result is None:
        return Finished(b"null")
    try:
        check_strict(result)
        raw = encode(result)
    except (MalformedJson, TypeError) as error:
        return _bad_result(declared, f"the handler's result cannot be encoded as JSON: {error}")
    if len(raw) > MAX_RESULT_BYTES:
        return _bad_result(
            declared,
            f"the handler's result has {len(raw)} bytes; the limit is {MAX_RESULT_BYTES}",
        )
    return Finished(raw)


def _bad_result(declared: JobType, message: str) -> Outcome:
    return BadResult(Failure("MalformedResult", message), name_of(declared.handler))


def _raised(job: RunningJob, declared: JobType, error: BaseException) -> Outcome:
    where = name_of(declared.handler)
    if isinstance(error, ValidatorFault) and error.__cause__ is not None:
        where, error = error.validator, error.__cause__
    if isinstance(error, asyncio.CancelledError) and job.interrupted:
        is_cancelled = job.cancel_by and not job.effects
        return CancelRequested(job.cancel_by, job.cancel_detail) if is_cancelled else Stopped()
    match error:
        case JobOutcome():
            return _returned(declared, error)
        case ActionDenied() | ActionHeld():
            return verdict_on(error)
        case ValidationFailed():
            return RejectedAttempt(
                error, error.validator or _raising_validator(declared, error) or where
            )
        case PayloadFault():
            return PayloadRefused(declared.payload.__name__ if declared.payload else "", str(error))
        case Outage():
            return Unreachable(error)
        case LeaseLost():
            return Stopped()
        case EffectConflict():
            return BadResult(_failure(error), where)
        case _:
            if job.cancel_by and not job.effects:
                return CancelRequested(job.cancel_by, job.cancel_detail)
            delay = error.retry_after_seconds if isinstance(error, DeliveryFailed) else None
            return RaisedError(_failure(error), where, delay or 0.0)


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:  # noqa: BLE001 - it calls code of the handler
        return ""


def _failure(error: BaseException) -> Failure:
    text = _traceback_of(error)
    message = writable(error)[:2000]
    if isinstance(error, asyncio.CancelledError):
        message = message or "the function raised a cancellation that the runtime had not requested"
    return Failure(type(error).__name__, message, text)


def _raising_validator(declared: JobType, error: BaseException) -> str:
    """Return the validator that raised an unnamed ValidationFailed, by its frames."""
    codes = {
        getattr(validator, "__code__", None): name_of(validator)
        for validator in declared.validators
    }
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code in codes:
            return codes[frame.f_code]
    return ""
