"""Retry policies: whether a failed job is attempted again, and how long it waits before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

DEFAULT_MAX_ATTEMPTS: Final = 20
MAX_CRASHES: Final = 5
"""A job is dead, `crashed`, after so many worker deaths in the suspect lane."""
MAX_GIVE_BACKS: Final = 10
"""A graceful stop returns an attempt to the queue uncounted at most so many times."""
LONGEST_WAIT_SECONDS: Final = 10 * 365 * 86_400
Backoff: TypeAlias = Callable[[int, BaseException], float] | Sequence[float]
"""Seconds before the next attempt: a function of the failed attempt's number (from 1) and its error, or each in turn."""


class _Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy takes by keyword only."""

    give_up_on: tuple[type[BaseException], ...] = ()
    retry_on: tuple[type[BaseException], ...] = ()
    within_seconds: float | None = None
    backoff: Backoff | None = None


class RetryPolicy(_Limits, frozen=True):
    """Whether, how often and after which delays a failed job of a type is attempted again.

    `max_attempts` counts the claims of a run; `base_seconds` is the ceiling of the
    first delay, doubled for every further one up to `cap_seconds`. A `backoff` replaces them: a
    plain, fast function of the number of the failed attempt (from 1) and its error that returns
    seconds, or a sequence of seconds, of which the last one repeats.

    After an error of a class in `give_up_on` the job is dead at once; if `retry_on` is not empty, after any
    error of another class. Subclasses count, and of several classes the most specific one decides.
    `within_seconds` limits the run: if the next attempt would begin later than that after its
    first counted attempt, the job is dead at once.
    """

    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    base_seconds: float = 2.0
    cap_seconds: float = 3600.0

    def final_because(self, error: BaseException) -> str:
        """Return why the job is not attempted again after an error of this class, empty if it may be."""
        if not self.give_up_on and not self.retry_on:
            return ""
        for kind in type(error).__mro__:
            if kind in self.give_up_on:
                return f"give_up_on has {kind.__name__}"
            if kind in self.retry_on:
                return ""
        return f"retry_on does not have {type(error).__name__}" if self.retry_on else ""


def delay_before(attempt: int, policy: RetryPolicy, random_share: float) -> float:
    """Return the seconds to wait after the failed attempt number `attempt` (from 1).

    Exponential backoff with full jitter: `random_share` in [0, 1) of
    `min(cap, base · 2^(attempt-1))`; see "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015.
    """
    exponent = min(attempt - 1, 62)
    return random_share * min(policy.cap_seconds, policy.base_seconds * 2.0**exponent)
