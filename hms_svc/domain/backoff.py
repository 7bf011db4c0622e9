"""Pure retry maths: how long to wait before the next attempt."""

from __future__ import annotations

from typing import Final

import msgspec

DEFAULT_MAX_ATTEMPTS: Final = 20
MAX_CRASHES: Final = 5
"""Deaths in the suspect lane after which a job is dead, `crashed`."""
MAX_GIVE_BACKS: Final = 10
"""Times that a graceful stop gives an attempt back before it counts."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and how patiently a type of job is tried.

    `max_attempts` counts claims of a run; `base_seconds` is the ceiling of the
    first wait, doubled for every further one up to `cap_seconds`.
    """

    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    base_seconds: float = 2.0
    cap_seconds: float = 3600.0


def delay_before(attempt: int, policy: RetryPolicy, random_share: float) -> float:
    """Return the seconds to wait after the failed attempt number `attempt` (from 1).

    Exponential backoff with full jitter: `random_share` in [0, 1) of
    `min(cap, base · 2^(attempt-1))`; see "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015.
    """
    exponent = min(attempt - 1, 62)
    return random_share * min(policy.cap_seconds, policy.base_seconds * 2.0**exponent)
