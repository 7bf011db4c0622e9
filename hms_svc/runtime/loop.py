"""The base class of all loops: start, stop, wake, interval with jitter, and error handling."""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from typing import Final

from hms_svc.domain.errors import Outage

log: Final = logging.getLogger("hms_svc.runtime")
LONGEST_BACKOFF_SECONDS: Final = 2.0


class Service(ABC):
    """Calls `run_once` repeatedly: after the interval, or immediately when woken.

    An interval of 0 is for a round that waits by itself.
    An Outage is logged once, when it begins, and the loop backs off; any other error is
    logged with its traceback. Neither ends the loop.
    """

    def __init__(self, interval_seconds: float) -> None:
        self.name = type(self).__name__.lower()
        self._interval_seconds = interval_seconds
        self._wake = asyncio.Event()
        self._stopping = False
        self._failures = 0

    @abstractmethod
    async def run_once(self) -> None:
        """Do one round."""

    def wake(self) -> None:
        """Start the next round without waiting."""
        self._wake.set()

    def stop(self) -> None:
        """End the loop after the current round."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Run rounds until stopped."""
        while not self._stopping:
            self._wake.clear()
            await self._attempt()
            if not self._stopping:
                await self._sleep()

    async def _attempt(self) -> None:
        try:
            await self.run_once()
            if self._failures:
                log.info("%s: works again", self.name)
            self._failures = 0
        except Outage as error:
            if self._failures == 0:
                log.warning("%s: %s; trying again", self.name, error)
            self._failures += 1
        except Exception:
            log.exception("%s: a round failed", self.name)
            self._failures += 1

    async def _sleep(self) -> None:
        seconds = self._interval_seconds * random.uniform(0.9, 1.1)
        if self._failures:
            backoff = min(LONGEST_BACKOFF_SECONDS, 0.1 * 2 ** min(self._failures, 10))
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))
            return
        if not self._interval_seconds:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
