"""Retry delays: how long to wait before the next attempt."""

from __future__ import annotations

from typing import Final

import msgspec

DEFAULT_MAX_ATTEMPTS: Final = 20
MAX_CRASHES: Final = 5
"""A job is dead, `crashed`, after so many worker deaths in the suspect lane."""
MAX_GIVE_BACKS: Final = 10
"""A graceful stop returns an attempt to the queue uncounted at most so many times."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often, and after which delays, a job of a type is attempted.

    `max_attempts` counts the claims of a run; `base_seconds` is the ceiling of the
    first delay, doubled for every further one up to `cap_seconds`.
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
