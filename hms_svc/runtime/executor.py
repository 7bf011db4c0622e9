"""One job: payload, validators, vet, handler, and an outcome whatever happens."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from collections.abc import Callable
from typing import Any

from hms_svc.domain.errors import (
    ActionDenied,
    ActionHeld,
    LeaseLost,
    MalformedJson,
    Outage,
    ValidationFailed,
)
from hms_svc.domain.outcome import Cancel, DeadLetter, Failure, RetryLater, Snooze
from hms_svc.domain.strict_json import check_strict, encode
from hms_svc.handling.context import RunningJob, enter_job
from hms_svc.handling.payload import PayloadFault
from hms_svc.handling.registry import JobType
from hms_svc.runtime.decide import (
    Broke,
    CalledOff,
    Finished,
    Held,
    Outcome,
    PayloadRefused,
    Refused,
    Stopped,
    TimedOut,
    Unreachable,
)
from hms_svc.runtime.threads import PlainThreads
from hms_svc.runtime.validation import (
    ValidatorFault,
    check_answer,
    is_async,
    name_of,
    read_payload,
    wants_job,
)

MAX_RESULT_BYTES = 1024 * 1024


class Executor:
    """Runs claimed jobs: `async` ones as tasks of the loop, plain ones on threads."""

    def __init__(self, threads: PlainThreads, *, timeout_seconds: float) -> None:
        self._threads = threads
        self._timeout_seconds = timeout_seconds

    def start(
        self, job: RunningJob, declared: JobType, finished: Callable[[Outcome], None]
    ) -> asyncio.Task[None] | None:
        """Begin to run a job; `finished` hears the outcome, once, on the loop.

        Gives the task where there is one to be cancelled. A job of plain
        functions throughout is one visit to a thread.
        """
        if _is_plain(declared) and (declared.action is None or job.effects):
            context = contextvars.copy_context()

            def done(result: Any, error: BaseException | None) -> None:
                finished(self.outcome_of(job, declared, result, error))

            self._threads.submit(context, lambda: _run_plain(job, declared), done)
            return None
        return asyncio.get_running_loop().create_task(self._run(job, declared, finished))

    async def _run(
        self, job: RunningJob, declared: JobType, finished: Callable[[Outcome], None]
    ) -> None:
        result, error = None, None
        try:
            result = await self._run_async(job, declared)
        except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - becomes the outcome
            error = raised
        finished(self.outcome_of(job, declared, result, error))

    async def _run_async(self, job: RunningJob, declared: JobType) -> Any:
        enter_job(job)
        read_payload(job, declared)
        if not job.effects:
            for validator in declared.validators:
                try:
                    answer = await self._call(validator, job.payload)
                except (ValidationFailed, ActionHeld, Outage, LeaseLost):
                    raise
                except Exception as error:
                    raise ValidatorFault(name_of(validator)) from error
                check_answer(validator, answer)
            if declared.action is not None:
                await job.gov.vet(declared.action, job.data)
        handler = declared.handler
        return await (self._call(handler, job) if wants_job(handler) else self._call(handler))

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if is_async(function):
            return await function(*arguments)
        return await self._threads.call(function, *arguments)

    def outcome_of(
        self, job: RunningJob, declared: JobType, result: Any, error: BaseException | None
    ) -> Outcome:
        """Turn what a run returned or raised into its outcome."""
        if job.timed_out:
            return TimedOut(declared.timeout_seconds or self._timeout_seconds)
        if error is None and job.verdict is not None:
            error = job.verdict
        if error is not None:
            return _raised(job, declared, error)
        if isinstance(result, RetryLater | Snooze | Cancel | DeadLetter):
            return result
        return _finished(declared, result)


def _is_plain(declared: JobType) -> bool:
    return not is_async(declared.handler) and not any(map(is_async, declared.validators))


def _run_plain(job: RunningJob, declared: JobType) -> Any:
    enter_job(job)
    read_payload(job, declared)
    if not job.effects:
        for validator in declared.validators:
            try:
                answer = validator(job.payload)
            except (ValidationFailed, ActionHeld, Outage, LeaseLost):
                raise
            except Exception as error:
                raise ValidatorFault(name_of(validator)) from error
            check_answer(validator, answer)
    handler = declared.handler
    return handler(job) if wants_job(handler) else handler()


def _finished(declared: JobType, result: Any) -> Outcome:
    if result is None:
        return Finished(b"null")
    try:
        check_strict(result)
        raw = encode(result)
    except (MalformedJson, TypeError) as error:
        words = f"the handler's result is no JSON: {error}"
        return Broke(Failure("MalformedResult", words), name_of(declared.handler))
    if len(raw) > MAX_RESULT_BYTES:
        words = f"the handler's result has {len(raw)} bytes; the limit is {MAX_RESULT_BYTES}"
        return Broke(Failure("MalformedResult", words), name_of(declared.handler))
    return Finished(raw)


def _raised(job: RunningJob, declared: JobType, error: BaseException) -> Outcome:
    where = name_of(declared.handler)
    if isinstance(error, ValidatorFault) and error.__cause__ is not None:
        where, error = error.validator, error.__cause__
    if isinstance(error, asyncio.CancelledError):
        return CalledOff(job.cancel_by, job.cancel_detail) if job.cancel_by else Stopped()
    if job.verdict is not None and not isinstance(error, Outage):
        error = job.verdict
    match error:
        case ActionDenied():
            return Refused(error, error.rule)
        case ValidationFailed():
            return Refused(error, error.validator or _raising_validator(declared, error) or where)
        case ActionHeld():
            return Held(error)
        case PayloadFault():
            return PayloadRefused(declared.payload.__name__ if declared.payload else "", str(error))
        case Outage():
            return Unreachable(error)
        case _:
            if job.cancel_by:
                return CalledOff(job.cancel_by, job.cancel_detail)
            text = "".join(traceback.format_exception(error))
            return Broke(Failure(type(error).__name__, str(error)[:2000], text), where)


def _raising_validator(declared: JobType, error: BaseException) -> str:
    """Find the validator that an unnamed ValidationFailed came from, by its frames."""
    codes = {
        getattr(validator, "__code__", None): name_of(validator)
        for validator in declared.validators
    }
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code in codes:
            return codes[frame.f_code]
    return ""
