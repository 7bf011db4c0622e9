"""What many followers read together: the bus and the progress of jobs, each read once.

A follower keeps its own position. What it has not read yet stays in a bounded ring
buffer; a follower that is too slow learns how much it missed.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import Final

from hms_svc.domain.errors import Outage
from hms_svc.domain.event import JOB_CANCELLED, JOB_COMPLETED, JOB_DEAD, JOB_REJECTED, Event
from hms_svc.domain.views import JobDetail, ProgressView
from hms_svc.http_api.server_sent_events import Announced
from hms_svc.operations.reads import Reads

log: Final = logging.getLogger("hms_svc.http")
KEPT_EVENTS: Final = 4096
KEPT_LINES: Final = 200
KEPT_EVENTS_OF_JOB: Final = 64
PAGE: Final = 500
WAIT_SECONDS: Final = 5.0
OUTAGE_SECONDS: Final = 1.0
PROGRESS_SECONDS: Final = 0.2
CHECK_EVERY_SECONDS: Final = 2.0
FINAL: Final = frozenset({JOB_COMPLETED, JOB_REJECTED, JOB_DEAD, JOB_CANCELLED})


class WakeUp:
    """Wakes all waiters. A waiter that listens before it checks misses no wake-up in between."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Wake all waiters."""
        self._event.set()
        self._event = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """Return the event that the next wake-up sets."""
        return self._event


async def woken(wake: asyncio.Event, seconds: float) -> bool:
    """Wait for a wake-up, at most so long; return whether it came."""
    try:
        async with asyncio.timeout(seconds):
            return await wake.wait()
    except TimeoutError:
        return False


class Shared(ABC):
    """A loop that runs while there are followers."""

    def __init__(self) -> None:
        self.followers = 0
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Keep the loop running while the block runs."""
        self.followers += 1
        if self._task is None or self._task.done():
            self._begin()
            self._task = asyncio.create_task(self._run(), name=type(self).__name__)
        try:
            yield
        finally:
            self.followers -= 1
            if not self.followers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._round()
            except Outage:
                await asyncio.sleep(OUTAGE_SECONDS)
            except Exception:
                log.exception("%s: a round failed; its followers wait", type(self).__name__)
                await asyncio.sleep(OUTAGE_SECONDS)

    @abstractmethod
    def _begin(self) -> None:
        """Forget what was read before: there were no followers in between."""

    @abstractmethod
    async def _round(self) -> None:
        """Read what is new, or wait for it."""


class EventTail(Shared):
    """The newest events of the bus."""

    def __init__(self, reads: Reads) -> None:
        super().__init__()
        self._reads = reads
        self._ring: deque[Announced] = deque(maxlen=KEPT_EVENTS)
        self._from = -1
        """The position above which the ring buffer has everything; -1 before it was first read."""
        self.wake_up = WakeUp()

    def _begin(self) -> None:
        self._ring.clear()
        self._from = -1

    async def _round(self) -> None:
        if self._from < 0:
            self._from = await self._reads.newest_position()
        last = self._ring[-1].event.position if self._ring else self._from
        events = await self._reads.kept_events(after=last, limit=PAGE)
        if not events:
            await self._reads.wait_for_event(last, WAIT_SECONDS)
            return
        if (
            events[0].position > last + 1
        ):  # The bus has dropped events: followers that are behind will detect it there.
            self._ring.clear()
            self._from = events[0].position - 1
        overflow = len(self._ring) + len(events) - KEPT_EVENTS
        if overflow > 0:
            self._from = self._ring[overflow - 1].event.position
        self._ring.extend(map(Announced, events))
        self.wake_up.wake()

    async def after(self, position: int) -> list[Announced]:
        """Return events above a position, oldest first; from the ring buffer if it reaches back so far."""
        if 0 <= self._from <= position:
            # From its newest end: most followers lack only the last few.
            newest = takewhile(lambda each: each.event.position > position, reversed(self._ring))
            return list(newest)[::-1]
        return [*map(Announced, await self._reads.kept_events(after=position, limit=PAGE))]


class Watched:
    """One job that is followed: its newest lines and events, and its end."""

    def __init__(self) -> None:
        self.followers = 0
        self.last = 0
        self.lines: deque[ProgressView] = deque(maxlen=KEPT_LINES)
        self.events: deque[Event] = deque(maxlen=KEPT_EVENTS_OF_JOB)
        self.may_have_ended = True
        self.end: tuple[JobDetail, bool] | None = None
        self.wake_up = WakeUp()

    def add(self, lines: list[ProgressView]) -> None:
        """Add lines in the order of their numbers."""
        fresh = [line for line in lines if line.number > self.last]
        if fresh:
            self.lines.extend(fresh)
            self.last = fresh[-1].number
            self.wake_up.wake()

    def add_events(self, news: Sequence[Event]) -> None:
        """Add events, in the order of the bus, after the lines that came before them."""
        if news:
            self.events.extend(news)
            self.wake_up.wake()


class JobTail(Shared):
    """The progress of all followed jobs: read together, a few times per second."""

    def __init__(self, reads: Reads, events: EventTail) -> None:
        super().__init__()
        self._reads = reads
        self._events = events
        self._watched: dict[str, Watched] = {}
        self._position = -1
        self._checked_at = float("-inf")

    def _begin(self) -> None:
        self._position = -1

    def wake(self) -> None:
        """Wake every follower."""
        for watched in self._watched.values():
            watched.wake_up.wake()

    @asynccontextmanager
    async def watching(self, job_id: str) -> AsyncIterator[Watched]:
        """Follow one job while the block runs."""
        watched = self._watched.get(job_id)
        if watched is None or watched.end is not None:  # The job may have a new run by now.
            watched = self._watched[job_id] = Watched()
        watched.followers += 1
        try:
            async with self._events.followed(), self.followed():
                yield watched
        finally:
            watched.followers -= 1
            if not watched.followers and self._watched.get(job_id) is watched:
                del self._watched[job_id]

    async def _round(self) -> None:
        wake = self._events.wake_up.listen()
        news, position = await self._read_news()
        open_ones = {job_id: each for job_id, each in self._watched.items() if each.end is None}
        ending = [job_id for job_id, each in open_ones.items() if each.may_have_ended]
        ended = await self._reads.ended(ending) if ending else {}
        # Read after the state: what was written before a job ended is sent before its end.
        after = {job_id: each.last for job_id, each in open_ones.items()}
        found = await self._reads.progress_of(after) if after else {}
        for job_id, watched in open_ones.items():
            watched.add(found.get(job_id, []))
            watched.may_have_ended = False
            watched.add_events(news.get(job_id, ()))
            if job_id in ended:
                watched.end = ended[job_id]
                watched.wake_up.wake()
        self._position = position
        await woken(wake, PROGRESS_SECONDS)

    async def _read_news(self) -> tuple[dict[str, list[Event]], int]:
        """Return the events of the followed jobs, and the position up to which they were read.

        Marks those that may have ended.
        """
        news: dict[str, list[Event]] = {}
        now = asyncio.get_running_loop().time()
        if now - self._checked_at > CHECK_EVERY_SECONDS or self._position < 0:
            self._checked_at = now
            for watched in self._watched.values():
                watched.may_have_ended = True
            if self._position < 0:
                self._position = await self._reads.newest_position()
        wake = [each.event for each in await self._events.after(self._position)]
        for event in wake:
            subject = self._watched.get(event.subject)
            if subject is not None:
                news.setdefault(event.subject, []).append(event)
                subject.may_have_ended |= event.type in FINAL
        return news, wake[-1].position if wake else self._position
