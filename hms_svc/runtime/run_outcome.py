"""The outcome of a run, from what its handler returned or raised."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any, Final

from hms_svc.domain.errors import (
    ActionDenied,
    ActionHeld,
    DeliveryFailed,
    EffectConflict,
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
    UpgradeFailed,
)
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.payload import PayloadFault, plain_data
from hms_svc.sdk.payload_versions import UpgradeFault
from hms_svc.sdk.running_job import RunningJob
from hms_svc.sdk.source_places import bare_name
from hms_svc.sdk.storable_text import writable
from hms_svc.sdk.validation import ValidatorFault, shown

MAX_RESULT_BYTES: Final = 1024 * 1024
LONGEST_DELAY_SECONDS: Final = 10 * 365 * 86_400
NO_RESULT: Final = Finished(b"null")


def outcome_of(
    job: RunningJob,
    declared: JobType,
    result: Any,
    error: BaseException | None,
    timeout_seconds: float,
) -> Outcome:
    """Return the outcome of a run; a verdict of governance takes precedence.

    `timeout_seconds` is that of types that declare none.
    """
    if job.verdict is not None:
        return verdict_on(job.verdict)
    if job.timed_out:
        return TimedOut(declared.timeout_seconds or timeout_seconds)
    if error is None and job.unanswered:
        error = next(iter(job.unanswered.copy().values()), None)
    if error is not None:
        return _raised(job, declared, error)
    if isinstance(result, JobOutcome):
        return _returned(declared, result)
    if job.overran and not job.interrupted:
        return TimedOut(declared.timeout_seconds or timeout_seconds)
    return _finished(declared, result)


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


def _finished(declared: JobType, result: Any, *, is_plain: bool = False) -> Outcome:
    """Return the outcome of a result; one that is no JSON is tried again without pydantic models."""
    if result is None:
        return NO_RESULT
    try:
        check_strict(result)
        raw = encode(result)
    except (MalformedJson, TypeError) as error:
        if not is_plain:
            return _finished_plain(declared, result)
        return _bad_result(declared, f"the handler's result cannot be encoded as JSON: {error}")
    if len(raw) > MAX_RESULT_BYTES:
        return _bad_result(
            declared,
            f"the handler's result has {len(raw)} bytes; the limit is {MAX_RESULT_BYTES}",
        )
    return Finished(raw)


def _finished_plain(declared: JobType, result: Any) -> Outcome:
    try:
        plain = plain_data(result)
    except RecursionError:
        plain = result
    except Exception as error:  # noqa: BLE001 - serializers are the service's code
        raised = f"{type(error).__name__}: {writable(error)[:2000]}"
        return _bad_result(declared, f"the handler's result cannot be encoded as JSON: {raised}")
    return _finished(declared, plain, is_plain=True)


def _bad_result(declared: JobType, message: str) -> Outcome:
    return BadResult(Failure("MalformedResult", message), bare_name(declared.handler))


def _raised(job: RunningJob, declared: JobType, error: BaseException) -> Outcome:
    where = bare_name(declared.handler)
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
        case UpgradeFault():
            cause = error.__cause__ or error
            failure = Failure(type(cause).__name__, writable(error)[:2000], _traceback_of(cause))
            return UpgradeFailed(failure, error.function)
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
            return RaisedError(_failure(error), where, error, delay or 0.0)


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
        getattr(validator, "__code__", None): bare_name(validator)
        for validator in declared.validators
    }
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code in codes:
            return codes[frame.f_code]
    return ""
