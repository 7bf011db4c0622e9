"""The delay before the next attempt, with a policy's own backoff: code of a service that may be wrong."""

from __future__ import annotations

from typing import Any

from hms_svc.domain.backoff import LONGEST_WAIT_SECONDS, RetryPolicy, delay_before
from hms_svc.sdk.source_places import name_of
from hms_svc.sdk.storable_text import writable
from hms_svc.sdk.validation import shown


def delay_after(
    error: BaseException, attempt: int, policy: RetryPolicy, random_share: float
) -> tuple[float, str]:
    """Return the seconds to wait after a failed attempt, and what is wrong with the policy's backoff.

    If that raises, or returns something else than a number of seconds, the delay is the
    exponential one, and the text says so; else the text is empty.
    """
    usual = delay_before(attempt, policy, random_share)
    if policy.backoff is None:
        return usual, ""
    try:
        seconds = _own_delay(policy, attempt, error)
    except BaseException as raised:  # noqa: BLE001 - it is the service's code, and hurts this job only
        return usual, _fault(policy, f"raised {type(raised).__name__}: {writable(raised)[:200]}")
    if type(seconds) in (int, float) and 0 <= seconds <= LONGEST_WAIT_SECONDS:
        return float(seconds), ""
    expected = f"not a number of seconds, 0 to {LONGEST_WAIT_SECONDS}"
    return usual, _fault(policy, f"returned {shown(seconds)}, {expected}")


def _own_delay(policy: RetryPolicy, attempt: int, error: BaseException) -> Any:
    backoff = policy.backoff
    if callable(backoff):
        return backoff(attempt, error)
    return None if backoff is None else backoff[min(attempt, len(backoff)) - 1]


def _fault(policy: RetryPolicy, wrong: str) -> str:
    name = name_of(policy.backoff) if callable(policy.backoff) else ""
    return f"backoff{f' {name}' if name else ''} {wrong}: the delay is that of base_seconds and cap_seconds"
