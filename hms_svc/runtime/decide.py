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
    REASON_UPGRADE,
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
from hms_svc.runtime.failed_attempt import FailedAttempt, dead, failed, raised, timed_out

OUTAGE_PAUSE_MS = 5_000
NEWER_PAUSE_MS = 30_000


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


class UpgradeFailed(msgspec.Struct, frozen=True):
    """The payload could not be upgraded to the declared version; `where` is the function's name."""

    failure: Failure
    where: str


class NewerPayload(msgspec.Struct, frozen=True):
    """The payload has a version that this worker's application does not know."""

    version: int
    known: int


class HeldAttempt(msgspec.Struct, frozen=True):
    """Governance requires the decision of a human."""

    error: ActionHeld


class RaisedError(msgspec.Struct, frozen=True):
    """A function raised an unexpected error; `where` is the function's name, `error` is for the log.

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


Returned = RetryLater | Snooze | Cancel | DeadLetter


class Decided(msgspec.Struct, frozen=True):
    """The process that ran the handler has decided what becomes of the job."""

    disposition: Disposition


Outcome = (
    Finished
    | Returned
    | RejectedAttempt
    | PayloadRefused
    | UpgradeFailed
    | NewerPayload
    | HeldAttempt
    | RaisedError
    | BadResult
    | TimedOut
    | Unreachable
    | Stopped
    | NotBegun
    | StillRunning
    | CancelRequested
    | Decided
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
        case UpgradeFailed(failure, where):
            return Disposition(
                state=State.DEAD,
                trigger=Trigger.FAILED,
                reason=REASON_UPGRADE,
                by=where,
                detail=failure.message,
                failure=failure,
            )
        case NewerPayload(version, known):
            return Disposition(
                state=State.SCHEDULED,
                trigger=Trigger.RELEASED,
                delay_ms=NEWER_PAUSE_MS,
                give_back=True,
                detail=(
                    f"its payload has version {version}, and the application of the worker that "
                    f"claimed it knows up to {known}"
                ),
            )
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
            attempt = FailedAttempt(job, policy, random_share, now_ms)
            return raised(attempt, where, failure, error, least_seconds=after_seconds)
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
            attempt = FailedAttempt(job, policy, random_share, now_ms)
            return timed_out(attempt, failure)
        case RetryLater(after_seconds, why):
            failure = Failure("RetryLater", why or "the handler asked to be retried")
            attempt = FailedAttempt(job, policy, random_share, now_ms)
            return failed(
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
                return timed_out(FailedAttempt(job, policy, 1.0, now_ms), failure)
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
                attempt = FailedAttempt(job, policy, 0.0, now_ms)
                return dead(attempt, REASON_ERROR, "runtime", failure, message)
            return Disposition(
                state=State.QUEUED,
                trigger=Trigger.RELEASED,
                give_back=is_free,
                counted_give_back=is_free,
                detail="the worker stopped",
            )
        case Decided(disposition):
            return disposition


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
