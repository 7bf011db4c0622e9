"""The disposition of a job after a run: one pure decision for every outcome."""

from __future__ import annotations

import msgspec

from hms_svc.domain.backoff import MAX_GIVE_BACKS, RetryPolicy, delay_before
from hms_svc.domain.errors import ActionDenied, ActionHeld, Outage, ValidationFailed
from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.lifecycle import (
    ENDS_WITHOUT_EFFECTS,
    REASON_CANCELLED,
    REASON_ERROR,
    REASON_GIVEN_UP,
    REASON_GOVERNANCE,
    REASON_PAYLOAD,
    REASON_TIMEOUT,
    State,
    Trigger,
    beside_case,
)
from hms_svc.domain.outcome import (
    Cancel,
    DeadLetter,
    Disposition,
    Failure,
    RetryLater,
    Snooze,
)
from hms_svc.runtime.own_backoff import delay_after

OUTAGE_PAUSE_MS = 5_000


class Finished(msgspec.Struct, frozen=True):
    """The handler returned; `result` is its return value as JSON."""

    result: bytes


class RejectedAttempt(msgspec.Struct, frozen=True):
    """A validator rejected the job. `validator` is its name if the error does not contain a better one."""

    error: ValidationFailed
    validator: str


class PayloadRefused(msgspec.Struct, frozen=True):
    """The payload does not fit its model; `detail` names the field."""

    model: str
    detail: str


class HeldAttempt(msgspec.Struct, frozen=True):
    """Governance requires the decision of a human."""

    error: ActionHeld


class RaisedError(msgspec.Struct, frozen=True):
    """A function raised an unexpected error; `where` is the function's name.

    `after_seconds` is the minimum delay of the next attempt; the policy's longest delay bounds it.
    """

    failure: Failure
    where: str
    error: BaseException
    after_seconds: float = 0.0


class BadResult(msgspec.Struct, frozen=True):
    """The handler returned or wrote something that cannot be stored; running it again would not help."""

    failure: Failure
    where: str


class TimedOut(msgspec.Struct, frozen=True):
    """The run took longer than its timeout."""

    seconds: float


class Unreachable(msgspec.Struct, frozen=True):
    """A service that the run needs cannot be reached: not the job's fault."""

    error: Outage


class Stopped(msgspec.Struct, frozen=True):
    """The worker stopped before the run ended."""


class NotBegun(msgspec.Struct, frozen=True):
    """The job was claimed ahead, and there was no slot for it in time."""


class StillRunning(msgspec.Struct, frozen=True):
    """The function of an earlier attempt still runs in this worker: a second one is not started."""


class CancelRequested(msgspec.Struct, frozen=True):
    """The job's cancel was requested while it ran."""

    by: str
    detail: str


class Attempt(msgspec.Struct, frozen=True):
    """A claimed job whose run ended at a time (Unix ms), with its policy, and a random number in [0, 1)."""

    job: ClaimedJob
    policy: RetryPolicy
    random_share: float
    ended_at: int


Returned = RetryLater | Snooze | Cancel | DeadLetter
Outcome = (
    Finished
    | Returned
    | RejectedAttempt
    | PayloadRefused
    | HeldAttempt
    | RaisedError
    | BadResult
    | TimedOut
    | Unreachable
    | Stopped
    | NotBegun
    | StillRunning
    | CancelRequested
)


def decide(  # noqa: C901, PLR0912 - one flat match, one arm an outcome
    outcome: Outcome, job: ClaimedJob, policy: RetryPolicy, random_share: float, now_ms: int
) -> Disposition:
    """Return the disposition of a claimed job for the outcome of its run, which has just ended."""
    match outcome:
        case Finished(result):
            return Disposition(state=State.COMPLETED, trigger=Trigger.FINISHED, result=result)
        case PayloadRefused(model, detail):
            return _rejected(REASON_PAYLOAD, model, detail)
        case RejectedAttempt(ActionDenied() as denied, _):
            return _rejected(REASON_GOVERNANCE, denied.rule, denied.detail)
        case RejectedAttempt(error, validator):
            name = error.validator or validator
            return _rejected(name, validator or name, error.detail)
        case HeldAttempt(error):
            return Disposition(
                state=State.HELD,
                trigger=Trigger.REFUSED,
                reason=REASON_GOVERNANCE,
                by=error.rule,
                detail=error.detail,
                hold=(error.action, error.rule, error.digest),
                give_back=True,
            )
        case RaisedError(failure, where, error, after_seconds):
            attempt = Attempt(job, policy, random_share, now_ms)
            detail = f"{failure.kind}: {failure.message}" if failure.message else failure.kind
            if why := policy.final_because(error):
                return _given_up(attempt, where, failure, detail, why)
            return _failed(
                attempt, REASON_ERROR, where, failure, error, detail, least_seconds=after_seconds
            )
        case BadResult(failure, where):
            return Disposition(
                state=State.DEAD,
                trigger=Trigger.FAILED,
                reason=REASON_ERROR,
                by=where,
                detail=failure.message,
                failure=failure,
            )
        case TimedOut(seconds):
            failure = Failure("Timeout", f"ran longer than {seconds:g} s")
            attempt = Attempt(job, policy, random_share, now_ms)
            return _timed_out(attempt, failure)
        case RetryLater(after_seconds, why):
            failure = Failure("RetryLater", why or "the handler asked to be retried")
            attempt = Attempt(job, policy, random_share, now_ms)
            return _failed(
                attempt, REASON_ERROR, "handler", failure, outcome, exact_seconds=after_seconds
            )
        case Snooze(for_seconds, why):
            return Disposition(
                state=State.SCHEDULED,
                trigger=Trigger.SNOOZED,
                delay_ms=int(for_seconds * 1000),
                give_back=True,
                detail=why,
            )
        case Cancel(why):
            return _cancelled("handler", why, Trigger.FINISHED)
        case DeadLetter(why):
            return Disposition(
                state=State.DEAD,
                trigger=Trigger.FAILED,
                reason=REASON_ERROR,
                by="handler",
                detail=why,
            )
        case CancelRequested(by, detail):
            return _cancelled(by, detail, Trigger.OPERATOR)
        case Unreachable(error):
            return Disposition(
                state=State.SCHEDULED,
                trigger=Trigger.RELEASED,
                delay_ms=OUTAGE_PAUSE_MS,
                give_back=True,
                detail=str(error),
            )
        case StillRunning():
            detail = "the function of an earlier attempt has not returned yet"
            if job.give_backs >= MAX_GIVE_BACKS:
                failure = Failure("Timeout", detail)
                return _timed_out(Attempt(job, policy, 1.0, now_ms), failure)
            return Disposition(
                state=State.SCHEDULED,
                trigger=Trigger.RELEASED,
                delay_ms=int(delay_before(job.give_backs + 1, policy, 1.0) * 1000),
                give_back=True,
                counted_give_back=True,
                detail=detail,
            )
        case NotBegun():
            return Disposition(
                state=State.QUEUED,
                trigger=Trigger.RELEASED,
                give_back=True,
                detail="claimed ahead, and given back before it began",
            )
        case Stopped():
            is_free = job.give_backs < MAX_GIVE_BACKS
            if not is_free and job.attempt >= job.max_attempts:
                message = f"the worker stopped during a run, after it did so {job.give_backs} times before"
                failure = Failure("Stopped", message)
                attempt = Attempt(job, policy, 0.0, now_ms)
                return _dead(attempt, REASON_ERROR, "runtime", failure, message)
            return Disposition(
                state=State.QUEUED,
                trigger=Trigger.RELEASED,
                give_back=is_free,
                counted_give_back=is_free,
                detail="the worker stopped",
            )


def with_effects(disposition: Disposition, case_id: str) -> Disposition:
    """Return the disposition of a job that has a case: it never ends as if it had no effects.

    Instead of rejected or cancelled it becomes `dead`, with the same reason, and names its case.
    """
    if disposition.state not in ENDS_WITHOUT_EFFECTS:
        return msgspec.structs.replace(disposition, case_id=case_id)
    detail = beside_case(disposition.detail, case_id)
    return msgspec.structs.replace(disposition, state=State.DEAD, detail=detail, case_id=case_id)


def in_doubt(disposition: Disposition, lost: Outage) -> Disposition:
    """Return the disposition of a run of which it is unknown whether it has committed effects.

    Instead of rejected or cancelled the job becomes `dead`, with the same reason, and does
    not run again.
    """
    if disposition.state in ENDS_WITHOUT_EFFECTS:
        doubt = f"it is unknown whether it has a case: {lost}"
        detail = f"{disposition.detail}; {doubt}" if disposition.detail else doubt
        disposition = msgspec.structs.replace(disposition, state=State.DEAD, detail=detail)
    return msgspec.structs.replace(disposition, uncertain=True)


def _rejected(reason: str, by: str, detail: str) -> Disposition:
    return Disposition(
        state=State.REJECTED, trigger=Trigger.REFUSED, reason=reason, by=by, detail=detail
    )


def _cancelled(by: str, detail: str, trigger: Trigger) -> Disposition:
    return Disposition(
        state=State.CANCELLED, trigger=trigger, reason=REASON_CANCELLED, by=by, detail=detail
    )


def _timed_out(attempt: Attempt, failure: Failure) -> Disposition:
    error = TimeoutError(failure.message)
    return _failed(attempt, REASON_TIMEOUT, "runtime", failure, error)


def _failed(
    attempt: Attempt,
    reason: str,
    where: str,
    failure: Failure,
    error: BaseException,
    detail: str = "",
    *,
    exact_seconds: float | None = None,
    least_seconds: float = 0.0,
) -> Disposition:
    """Return the disposition after a failed attempt; `detail` replaces the failure's message.

    The delay of the next attempt is the policy's, or `exact_seconds`; and at least `least_seconds`.
    """
    job, detail = attempt.job, detail or failure.message
    if job.attempt >= job.max_attempts:
        return _dead(attempt, reason, where, failure, detail)
    delay, fault = exact_seconds, ""
    if delay is None:
        delay, fault = delay_after(error, job.attempt, attempt.policy, attempt.random_share)
    if fault:
        detail = f"{detail} ({fault})"
        failure = msgspec.structs.replace(failure, message=f"{failure.message} ({fault})")
    delay_ms = max(int(delay * 1000), _least_ms(attempt, least_seconds))
    if why := _too_late(attempt, delay_ms):
        return _given_up(attempt, where, failure, detail, why)
    return Disposition(
        state=State.RETRYING,
        trigger=Trigger.FAILED,
        reason=reason,
        by=where,
        detail=detail,
        failure=failure,
        delay_ms=delay_ms,
    )


def _least_ms(attempt: Attempt, seconds: float) -> int:
    """Return the minimum delay, up to a tenth longer to spread the retries, but bounded by the policy."""
    bounded = min(seconds, attempt.policy.cap_seconds)
    return int(bounded * (1 + attempt.random_share / 10) * 1000)


def _too_late(attempt: Attempt, delay_ms: int) -> str:
    """Return why the next attempt would begin too late, empty if it would not."""
    job, within = attempt.job, attempt.policy.within_seconds
    if within is None:
        return ""
    began = job.claimed_at if job.run_began_at is None else job.run_began_at
    after_seconds = (attempt.ended_at + delay_ms - began) / 1000
    if after_seconds <= within:
        return ""
    return (
        f"the next attempt would begin {after_seconds:.0f} s after the first, "
        f"within_seconds is {within:g}"
    )


def _given_up(attempt: Attempt, where: str, failure: Failure, detail: str, why: str) -> Disposition:
    return _dead(attempt, REASON_GIVEN_UP, where, failure, detail, f"; {why}")


def _dead(
    attempt: Attempt, reason: str, where: str, failure: Failure, detail: str, why: str = ""
) -> Disposition:
    job = attempt.job
    return Disposition(
        state=State.DEAD,
        trigger=Trigger.FAILED,
        reason=reason,
        by=where,
        detail=f"{detail} (attempt {job.attempt} of {job.max_attempts}{why})",
        failure=failure,
    )
