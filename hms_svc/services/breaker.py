"""A circuit breaker: a receiver that does not answer gets no requests for a while, and its jobs use no slots."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from hms_svc.domain.errors import DeliveryFailed
from hms_svc.domain.outcome import Snooze

MOST_FAILURES: Final = 3
SHORTEST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 60.0
LONGEST_ASKED_SECONDS: Final = 3600.0
"""The longest pause that a receiver can request."""
SLOW_SECONDS: Final = 1.0
MOST_TRIES_OF_SLOW: Final = 2
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500


class Breaker:
    """Counts consecutive requests to a receiver that failed: no answer, 429, or 5xx.

    After three of them no request is made for five seconds, and after each further one for twice as long,
    up to a minute. Then a single request tests the receiver. A pause that the receiver requests (`Retry-After`) begins
    at once and lasts up to an hour. A receiver that needs more than a second for its answers
    gets at most two requests at the same time: the other slots are for others. Each process has its own breaker.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures = 0
        self._closed_until = 0.0
        self._trying = 0
        self._takes_seconds = 0.0
        self._next_turn = 0.0

    @contextmanager
    def one_try(self, name: str) -> Iterator[None]:
        """Guard one request; raises Snooze instead, which ends the job's run, if none is allowed now."""
        self._check(name)
        began = self._now()
        self._trying += 1
        try:
            yield
        except DeliveryFailed as error:
            self._note(answered=_is_answer(error.status), pause_seconds=error.retry_after_seconds)
            raise
        else:
            self._note(answered=True)
        finally:
            self._trying -= 1
            # A slow receiver counts as slow until several answers in a row were quick.
            self._takes_seconds = max(self._now() - began, self._takes_seconds / 2)

    def _check(self, name: str) -> None:
        wait = self._closed_until - self._now()
        if self._failures < MOST_FAILURES:
            if wait > 0:
                reason = f"{name} has requested a pause of {wait:.0f} s"
                raise Snooze(wait + random.uniform(0.0, SHORTEST_PAUSE_SECONDS), reason)
            self._check_slow(name)
            return
        if wait <= 0:
            if not self._trying:
                return
            wait = SHORTEST_PAUSE_SECONDS
        reason = (
            f"{name} has not answered {self._failures} times in a row; requests to it are paused"
        )
        raise Snooze(wait + random.uniform(0.0, SHORTEST_PAUSE_SECONDS), reason)

    def _check_slow(self, name: str) -> None:
        """Make those that find no free place return one after the other, as fast as places become free."""
        if self._takes_seconds <= SLOW_SECONDS or self._trying < MOST_TRIES_OF_SLOW:
            return
        now = self._now()
        pace = self._takes_seconds / MOST_TRIES_OF_SLOW
        self._next_turn = min(max(self._next_turn, now) + pace, now + LONGEST_PAUSE_SECONDS)
        reason = f"{name} takes {self._takes_seconds:.0f} s to answer: {self._trying} requests are under way"
        raise Snooze(self._next_turn - now + random.uniform(0.0, SLOW_SECONDS), reason)

    def _note(self, *, answered: bool, pause_seconds: float | None = None) -> None:
        self._failures = 0 if answered else self._failures + 1
        if self._failures >= MOST_FAILURES:
            doublings = min(self._failures - MOST_FAILURES, 10)
            pause = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2**doublings)
            self._closed_until = max(self._closed_until, self._now() + pause)
        if pause_seconds:
            requested = self._now() + min(pause_seconds, LONGEST_ASKED_SECONDS)
            self._closed_until = max(self._closed_until, requested)


def _is_answer(status: int | None) -> bool:
    return status is not None and status != _TOO_MANY_REQUESTS and status < _SERVER_ERROR
