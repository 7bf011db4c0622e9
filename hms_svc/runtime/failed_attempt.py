"""The disposition of a job after a failed attempt, by its retry policy: another attempt, or the end."""

from __future__ import annotations

import msgspec

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.lifecycle import (
    REASON_ERROR,
    REASON_GIVEN_UP,
    REASON_TIMEOUT,
    State,
    Trigger,
)
from hms_svc.domain.outcome import Disposition, Failure
from hms_svc.runtime.own_backoff import delay_after


class FailedAttempt(msgspec.Struct, frozen=True):
    """A claimed job whose run ended at a time (Unix ms), with its policy, and a random number in [0, 1)."""

    job: ClaimedJob
    policy: RetryPolicy
    random_share: float
    ended_at: int


def raised(
    attempt: FailedAttempt,
    where: str,
    failure: Failure,
    error: BaseException,
    *,
    least_seconds: float,
) -> Disposition:
    """Return the disposition after an unexpected error, whose class may end the job."""
    detail = f"{failure.kind}: {failure.message}" if failure.message else failure.kind
    if why := attempt.policy.final_because(error):
        return _given_up(attempt, where, failure, detail, why)
    return failed(attempt, REASON_ERROR, where, failure, error, detail, least_seconds=least_seconds)


def timed_out(attempt: FailedAttempt, failure: Failure) -> Disposition:
    """Return the disposition after a timeout, for which a backoff function gets a TimeoutError."""
    error = TimeoutError(failure.message)
    return failed(attempt, REASON_TIMEOUT, "runtime", failure, error)


def failed(
    attempt: FailedAttempt,
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
        return dead(attempt, reason, where, failure, detail)
    delay, fault = exact_seconds, ""
    if delay is None:
        delay, fault = delay_after(error, job.attempt, attempt.policy, attempt.random_share)
    if fault:
        detail = f"{detail} ({fault})"
        failure = msgspec.structs.replace(failure, message=f"{failure.message} ({fault})")
    delay_ms = max(int(delay * 1000), int(delay > 0), _least_ms(attempt, least_seconds))
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


def _least_ms(attempt: FailedAttempt, seconds: float) -> int:
    """Return the minimum delay, up to a tenth longer to spread the retries, but bounded by the policy."""
    bounded = min(seconds, attempt.policy.cap_seconds)
    return int(bounded * (1 + attempt.random_share / 10) * 1000)


def _too_late(attempt: FailedAttempt, delay_ms: int) -> str:
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


def _given_up(
    attempt: FailedAttempt, where: str, failure: Failure, detail: str, why: str
) -> Disposition:
    return dead(attempt, REASON_GIVEN_UP, where, failure, detail, f"; {why}")


def dead(
    attempt: FailedAttempt, reason: str, where: str, failure: Failure, detail: str, why: str = ""
) -> Disposition:
    """Return the disposition of a job that is not attempted again."""
    job = attempt.job
    return Disposition(
        state=State.DEAD,
        trigger=Trigger.FAILED,
        reason=reason,
        by=where,
        detail=f"{detail} (attempt {job.attempt} of {job.max_attempts}{why})",
        failure=failure,
    )
