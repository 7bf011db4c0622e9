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
    """A function raised an unexpected error; `where` is the function's name, `error` is for the log.

    `after_seconds` is the minimum delay of the next attempt; the policy's longest delay bounds it.
    """

    failure: Failure
    where: str
    after_seconds: float = 0.0
    error: BaseException | None = None


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
    outcome: Outcome, job: ClaimedJob, policy: RetryPolicy, random_share: float
) -> Disposition:
    """Return the disposition of a claimed job for the outcome of its run."""
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
        case RaisedError(failure, where, after_seconds, _):
            detail = f"{failure.kind}: {failure.message}" if failure.message else failure.kind
            failed = _failed(job, policy, random_share, REASON_ERROR, where, failure, detail)
            return _not_before(failed, min(after_seconds, policy.cap_seconds), random_share)
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
            return _failed(job, policy, random_share, REASON_TIMEOUT, "runtime", failure)
        case RetryLater(after_seconds, why):
            failure = Failure(RetryLater.__name__, why or "the handler asked to be retried")
            share, where = (random_share, "handler")
            if after_seconds is not None:
                policy = RetryPolicy(job.max_attempts, after_seconds, after_seconds)
                share = 1.0
            return _failed(job, policy, share, REASON_ERROR, where, failure)
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
                return _failed(job, policy, 1.0, REASON_TIMEOUT, "runtime", failure)
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
                return _failed(job, policy, 0.0, REASON_ERROR, "runtime", failure)
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


def _not_before(failed: Disposition, seconds: float, random_share: float) -> Disposition:
    """Delay a retry by at least `seconds`, and up to a tenth longer to spread the retries."""
    least_ms = int(seconds * (1 + random_share / 10) * 1000)
    if failed.state is not State.RETRYING or failed.delay_ms >= least_ms:
        return failed
    return msgspec.structs.replace(failed, delay_ms=least_ms)


def _failed(
    job: ClaimedJob,
    policy: RetryPolicy,
    random_share: float,
    reason: str,
    where: str,
    failure: Failure,
    detail: str = "",
) -> Disposition:
    """Return the disposition after a failed attempt; `detail` replaces the failure's message."""
    detail = detail or failure.message
    if job.attempt >= job.max_attempts:
        return Disposition(
            state=State.DEAD,
            trigger=Trigger.FAILED,
            reason=reason,
            by=where,
            detail=f"{detail} (attempt {job.attempt} of {job.max_attempts})",
            failure=failure,
        )
    delay = delay_before(job.attempt, policy, random_share)
    return Disposition(
        state=State.RETRYING,
        trigger=Trigger.FAILED,
        reason=reason,
        by=where,
        detail=detail,
        failure=failure,
        delay_ms=int(delay * 1000),
    )
