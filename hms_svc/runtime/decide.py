"""What becomes of a run: one pure decision for every way that it can end."""

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
    Cause,
    State,
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
    """The handler returned; `result` is its answer as JSON."""

    result: bytes


class Refused(msgspec.Struct, frozen=True):
    """A validator rejected the job: `validator` where no better name is known, or the payload's model."""

    error: ValidationFailed
    validator: str


class PayloadRefused(msgspec.Struct, frozen=True):
    """The payload's model refused it; `detail` names the field."""

    model: str
    detail: str


class Held(msgspec.Struct, frozen=True):
    """Governance wants a human to decide."""

    error: ActionHeld


class Broke(msgspec.Struct, frozen=True):
    """Something raised that is no verdict; `where` is the function's name.

    `after_seconds` is the least to wait before the next attempt: the policy's longest wait bounds it.
    """

    failure: Failure
    where: str
    after_seconds: float = 0.0


class BadResult(msgspec.Struct, frozen=True):
    """The handler returned or wrote what cannot be kept; to run it again would give the same once more."""

    failure: Failure
    where: str


class TimedOut(msgspec.Struct, frozen=True):
    """The run took longer than it may."""

    seconds: float


class Unreachable(msgspec.Struct, frozen=True):
    """Something that the run needs cannot be reached: not the job's fault."""

    error: Outage


class Stopped(msgspec.Struct, frozen=True):
    """The worker stops before the run has ended."""


class StillRunning(msgspec.Struct, frozen=True):
    """The function of an earlier attempt has not returned in this worker: no other starts beside it."""


class CalledOff(msgspec.Struct, frozen=True):
    """Somebody asked for the job to be cancelled while it ran."""

    by: str
    detail: str


Asked = RetryLater | Snooze | Cancel | DeadLetter
Outcome = (
    Finished | Asked | Refused | PayloadRefused | Held | Broke | BadResult | TimedOut | Unreachable
    | Stopped | StillRunning | CalledOff
)  # fmt: skip


def decide(  # noqa: C901, PLR0912 - one flat match, one arm an outcome
    outcome: Outcome, job: ClaimedJob, policy: RetryPolicy, random_share: float
) -> Disposition:
    """Return the disposition of a claimed job after its outcome."""
    match outcome:
        case Finished(result):
            return Disposition(state=State.COMPLETED, cause=Cause.FINISHED, result=result)
        case PayloadRefused(model, detail):
            return _rejected(REASON_PAYLOAD, model, detail)
        case Refused(ActionDenied() as denied, _):
            return _rejected(REASON_GOVERNANCE, denied.rule, denied.detail)
        case Refused(error, validator):
            name = error.validator or validator
            return _rejected(name, validator or name, error.detail)
        case Held(error):
            return Disposition(
                state=State.HELD,
                cause=Cause.REFUSED,
                reason=REASON_GOVERNANCE,
                by=error.rule,
                detail=error.detail,
                hold=(error.action, error.rule, error.digest),
                give_back=True,
            )
        case Broke(failure, where, after_seconds):
            words = f"{failure.kind}: {failure.message}" if failure.message else failure.kind
            failed = _failed(job, policy, random_share, REASON_ERROR, where, failure, words)
            return _not_before(failed, min(after_seconds, policy.cap_seconds), random_share)
        case BadResult(failure, where):
            return Disposition(
                state=State.DEAD,
                cause=Cause.FAILED,
                reason=REASON_ERROR,
                by=where,
                detail=failure.message,
                failure=failure,
            )
        case TimedOut(seconds):
            words = f"ran longer than {seconds:g} s"
            failure = Failure("Timeout", words)
            return _failed(job, policy, random_share, REASON_TIMEOUT, "runtime", failure)
        case RetryLater(after_seconds, why):
            failure = Failure("RetryLater", why or "the handler asked to be retried")
            share, where = (random_share, "handler")
            if after_seconds is not None:
                policy = RetryPolicy(job.max_attempts, after_seconds, after_seconds)
                share = 1.0
            return _failed(job, policy, share, REASON_ERROR, where, failure)
        case Snooze(for_seconds, why):
            return Disposition(
                state=State.SCHEDULED,
                cause=Cause.SNOOZED,
                delay_ms=int(for_seconds * 1000),
                give_back=True,
                detail=why,
            )
        case Cancel(why):
            return _cancelled("handler", why, Cause.FINISHED)
        case DeadLetter(why):
            return Disposition(
                state=State.DEAD, cause=Cause.FAILED, reason=REASON_ERROR, by="handler", detail=why
            )
        case CalledOff(by, detail):
            return _cancelled(by, detail, Cause.OPERATOR)
        case Unreachable(error):
            return Disposition(
                state=State.SCHEDULED,
                cause=Cause.RELEASED,
                delay_ms=OUTAGE_PAUSE_MS,
                give_back=True,
                detail=str(error),
            )
        case StillRunning():
            words = "the function of an earlier attempt has not returned yet"
            if job.give_backs >= MAX_GIVE_BACKS:
                failure = Failure("Timeout", words)
                return _failed(job, policy, 1.0, REASON_TIMEOUT, "runtime", failure)
            return Disposition(
                state=State.SCHEDULED,
                cause=Cause.RELEASED,
                delay_ms=int(delay_before(job.give_backs + 1, policy, 1.0) * 1000),
                give_back=True,
                counted_give_back=True,
                detail=words,
            )
        case Stopped():
            given = job.give_backs < MAX_GIVE_BACKS
            if not given and job.attempt >= job.max_attempts:
                words = f"the worker stopped during a run, again after {job.give_backs} times"
                failure = Failure("Stopped", words)
                return _failed(job, policy, 0.0, REASON_ERROR, "runtime", failure)
            return Disposition(
                state=State.QUEUED,
                cause=Cause.RELEASED,
                give_back=given,
                counted_give_back=given,
                detail="the worker stopped",
            )


def with_effects(disposition: Disposition, case_id: str) -> Disposition:
    """Return what becomes of a job that has a case: it never ends as if it had done nothing.

    What would reject or cancel it makes it `dead`, with the same reason and its case named.
    """
    if disposition.state not in ENDS_WITHOUT_EFFECTS:
        return msgspec.structs.replace(disposition, case_id=case_id)
    detail = beside_case(disposition.detail, case_id)
    return msgspec.structs.replace(disposition, state=State.DEAD, detail=detail, case_id=case_id)


def in_doubt(disposition: Disposition, lost: Outage) -> Disposition:
    """Return what becomes of a run of which nobody can tell now whether it has left effects.

    What would reject or cancel the job makes it `dead`, with the same reason: it does not run again.
    """
    if disposition.state in ENDS_WITHOUT_EFFECTS:
        words = f"whether it has a case could not be found out: {lost}"
        detail = f"{disposition.detail}; {words}" if disposition.detail else words
        disposition = msgspec.structs.replace(disposition, state=State.DEAD, detail=detail)
    return msgspec.structs.replace(disposition, uncertain=True)


def _rejected(reason: str, by: str, detail: str) -> Disposition:
    return Disposition(
        state=State.REJECTED, cause=Cause.REFUSED, reason=reason, by=by, detail=detail
    )


def _cancelled(by: str, detail: str, cause: Cause) -> Disposition:
    return Disposition(
        state=State.CANCELLED, cause=cause, reason=REASON_CANCELLED, by=by, detail=detail
    )


def _not_before(failed: Disposition, seconds: float, random_share: float) -> Disposition:
    """Let a retry wait so long at least, and up to a tenth longer: those who wait come one by one."""
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
    words: str = "",
) -> Disposition:
    """Return the end of a failed attempt; `words` stand in its detail for the failure's message."""
    words = words or failure.message
    if job.attempt >= job.max_attempts:
        return Disposition(
            state=State.DEAD,
            cause=Cause.FAILED,
            reason=reason,
            by=where,
            detail=f"{words} (attempt {job.attempt} of {job.max_attempts})",
            failure=failure,
        )
    delay = delay_before(job.attempt, policy, random_share)
    return Disposition(
        state=State.RETRYING,
        cause=Cause.FAILED,
        reason=reason,
        by=where,
        detail=words,
        failure=failure,
        delay_ms=int(delay * 1000),
    )
