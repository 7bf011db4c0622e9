"""Timeouts for an engine that does not respond; one that is only slow is waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final

from hms_svc.domain.errors import Outage

log: Final = logging.getLogger("hms_svc")
ASK_AFTER_SECONDS: Final = 1.5
PROBE_SECONDS: Final = 1.0
MOST_SECONDS: Final = ASK_AFTER_SECONDS + PROBE_SECONDS
"""How long a call waits at most for an engine that does not respond."""
_PAUSE_SECONDS: Final = 0.25
_READS_TO_SETTLE: Final = 10


class AnswerBound:
    """Ends the calls to an engine that does not respond, and refuses new ones until it does.

    When a call has waited for 1.5 s, `probe` sends the engine a trivial request on a separate
    connection.
    There is one probe at a time, however many calls wait.
    If the engine answers it within a second, the calls continue to wait.
    Otherwise all waiting calls, and new ones immediately, fail with the Outage that `outage` makes,
    and the probe is repeated until it is answered. Belongs to one event loop.
    """

    def __init__(
        self,
        engine: str,
        probe: Callable[[], Awaitable[object]],
        outage: Callable[[str], Outage],
    ) -> None:
        self._engine = engine
        self._probe = probe
        self._outage = outage
        self._waiting: dict[asyncio.Timeout, float] = {}
        self._watch: asyncio.Task[None] | None = None
        self._is_silent = False

    def hold(self) -> _Hold:
        """Bound the call in this context; raise the Outage if the engine does not respond."""
        return _Hold(self)

    def begin(self, scope: asyncio.Timeout) -> None:
        """Watch a call; raise the Outage if the engine is known not to respond."""
        if self._is_silent:
            raise self.no_answer()
        self._waiting[scope] = asyncio.get_running_loop().time()
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._keep_watch(), name="answer-bound")

    def end(self, scope: asyncio.Timeout) -> None:
        """Forget a call."""
        del self._waiting[scope]

    async def close(self) -> None:
        """Stop watching."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait({watch})

    async def _keep_watch(self) -> None:
        loop = asyncio.get_running_loop()
        answered_at = 0.0
        while self._waiting:
            oldest = max(next(iter(self._waiting.values())), answered_at)
            left = oldest + ASK_AFTER_SECONDS - loop.time()
            if left > 0:
                await asyncio.sleep(left)
                continue
            answered_at = loop.time()
            probe = asyncio.create_task(self._is_answered(), name="answer-probe")
            try:
                if not await _within(PROBE_SECONDS, probe):
                    await self._wait_for_recovery(probe)
            finally:
                probe.cancel()

    async def _wait_for_recovery(self, probe: asyncio.Task[bool]) -> None:
        """Fail the waiting calls, and refuse new ones, until the engine answers."""
        # Not a warning: each caller that gets the Outage reports it.
        log.info("%s: does not respond; probing until it does", self._engine)
        self._is_silent = True
        now = asyncio.get_running_loop().time()
        for scope in self._waiting:
            if not scope.expired():  # A call of an earlier outage may not have ended yet.
                scope.reschedule(now)
        try:
            while not await probe:
                await asyncio.sleep(_PAUSE_SECONDS)
                probe = asyncio.create_task(self._is_answered(), name="answer-probe")
        finally:
            probe.cancel()
            self._is_silent = False
        log.info("%s: responds again", self._engine)

    async def _is_answered(self) -> bool:
        try:
            await self._probe()
        except Outage:
            return False
        return True

    def no_answer(self) -> Outage:
        """Return the error of a call that was not answered."""
        return self._outage(f"{self._engine}: no answer in {MOST_SECONDS:g} s")


class _Hold:
    """One bounded call. It is a class since each call to an engine has one, and a generator costs three times as much."""

    def __init__(self, bound: AnswerBound) -> None:
        self._bound = bound
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        self._bound.begin(self._scope)
        await self._scope.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bound.end(self._scope)
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise self._bound.no_answer() from late
        if isinstance(error, TimeoutError) and self._scope.expired():
            raise self._bound.no_answer() from error


async def _within(seconds: float, probe: asyncio.Task[bool]) -> bool:
    """Return whether the probe is answered in time.

    The time is waited for in slices of the event loop: a process that got no CPU for a second
    has not given its engine a second to answer.
    """
    for _ in range(_READS_TO_SETTLE):
        await asyncio.wait({probe}, timeout=seconds / _READS_TO_SETTLE)
        if probe.done():
            return probe.result()
    return False
