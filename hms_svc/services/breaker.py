"""A circuit breaker: who does not answer is left alone for a while, and takes no slots meanwhile."""

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
"""How long a receiver is left alone that asks for it."""
SLOW_SECONDS: Final = 1.0
MOST_TRIES_OF_SLOW: Final = 2
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500


class Breaker:
    """Counts the tries in a row to which somebody had no answer, or 429, or 5xx.

    After three of them nothing is tried for five seconds, and after each one more for twice as long,
    up to a minute. Then a single try shows whether it goes on. Who asks to be left alone (`Retry-After`) is, at
    once and for up to an hour. Who answers, but takes more than a second for it,
    is tried twice at the same time at most: the other slots are for others. Each process has its own.
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
        """Guard one try; raises Snooze instead, for a job to end with, where none is due."""
        self._check(name)
        began = self._now()
        self._trying += 1
        try:
            yield
        except DeliveryFailed as error:
            self._note(answered=_is_answer(error.status), asks_seconds=error.retry_after_seconds)
            raise
        else:
            self._note(answered=True)
        finally:
            self._trying -= 1
            # What was slow is so until several answers in a row were quick.
            self._takes_seconds = max(self._now() - began, self._takes_seconds / 2)

    def _check(self, name: str) -> None:
        wait = self._closed_until - self._now()
        if self._failures < MOST_FAILURES:
            if wait > 0:
                words = f"{name} has asked to be left alone for {wait:.0f} s"
                raise Snooze(wait + random.uniform(0.0, SHORTEST_PAUSE_SECONDS), words)
            self._check_slow(name)
            return
        if wait <= 0:
            if not self._trying:
                return
            wait = SHORTEST_PAUSE_SECONDS
        words = (
            f"{name} has not answered {self._failures} times in a row, and is left alone meanwhile"
        )
        raise Snooze(wait + random.uniform(0.0, SHORTEST_PAUSE_SECONDS), words)

    def _check_slow(self, name: str) -> None:
        """Let those that find no place come back one after the other, as fast as places become free."""
        if self._takes_seconds <= SLOW_SECONDS or self._trying < MOST_TRIES_OF_SLOW:
            return
        now = self._now()
        pace = self._takes_seconds / MOST_TRIES_OF_SLOW
        self._next_turn = min(max(self._next_turn, now) + pace, now + LONGEST_PAUSE_SECONDS)
        words = f"{name} takes {self._takes_seconds:.0f} s to answer: {self._trying} tries are under way"
        raise Snooze(self._next_turn - now + random.uniform(0.0, SLOW_SECONDS), words)

    def _note(self, *, answered: bool, asks_seconds: float | None = None) -> None:
        self._failures = 0 if answered else self._failures + 1
        if self._failures >= MOST_FAILURES:
            doublings = min(self._failures - MOST_FAILURES, 10)
            pause = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2**doublings)
            self._closed_until = max(self._closed_until, self._now() + pause)
        if asks_seconds:
            asked = self._now() + min(asks_seconds, LONGEST_ASKED_SECONDS)
            self._closed_until = max(self._closed_until, asked)


def _is_answer(status: int | None) -> bool:
    return status is not None and status != _TOO_MANY_REQUESTS and status < _SERVER_ERROR
