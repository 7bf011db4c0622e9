"""The only reader of the operator service: it looks, keeps the last good picture, and heals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from hms_svc.domain.errors import HmsError, Outage, Replaced
from hms_svc.domain.event import Event
from hms_svc.domain.plain_text import plain
from hms_svc.domain.views import QueueView, WorkerView
from tui.launch import Launch
from tui.picture import Look, Picture, Result, Seen, results_of
from tui.trend import Durations, Trends

if TYPE_CHECKING:
    from hms_svc.operations.reads import Reads
    from hms_svc.operations.service import Operations
    from hms_svc.ports.inspection import BrokerHealth
    from hms_svc.ports.stores import DatabaseHealth

BUSY_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 2.0
LEAST_SECONDS: Final = 0.8
HEALTH_SECONDS: Final = 5.0
LONGEST_WAIT_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 6.0
NEWEST_EVENTS: Final = 100
KEPT_RESULTS: Final = 200
Answer = TypeVar("Answer")
log: Final = logging.getLogger("hms_svc.console")


class Store:
    """Polls while it is wanted, not more often than every 0.8 s; `changed` is called with each new picture."""

    def __init__(
        self,
        launch: Launch,
        changed: Callable[[Picture], None],
        give_up: Callable[[HmsError], None],
    ) -> None:
        self.picture = Picture()
        self._launch = launch
        self._changed = changed
        self._give_up = give_up
        self._operations: Operations | None = None
        self._look: Look | None = None
        self._wants_failures = True
        self._wants_results = True
        self._asked = asyncio.Event()
        self._trends = Trends()
        self._durations = Durations()
        self._failed_in_a_row = 0
        self._position = 0
        self._impatient = False
        self._health_due = 0.0
        self._is_replaced = False

    def operations(self) -> Operations:
        """Give the operator service; Outage where it could not be opened yet."""
        if self._operations is None:
            raise Outage("broker or database cannot be reached; nothing was done")
        return self._operations

    def want(self, look: Look | None, *, failures: bool = False, results: bool = False) -> None:
        """Say what the screen shows: nothing else is fetched."""
        self._look, self._wants_failures, self._wants_results = look, failures, results
        self.hurry()

    def hurry(self, *, anew: bool = False) -> None:
        """Look again at once; `anew` even where the last answer would do."""
        self._impatient |= anew
        self._asked.set()

    def stand_still(self, *, still: bool) -> None:
        """Stop refreshing, or go on."""
        self._publish(msgspec.structs.replace(self.picture, is_still=still))
        self.hurry()

    async def run(self) -> None:
        """Open the operator service as soon as it can be, and look until cancelled."""
        while True:
            try:
                async with self._launch.operations() as operations:
                    self._operations = operations
                    async with asyncio.TaskGroup() as group:
                        news = group.create_task(
                            self._listen(operations.reads), name="console-news"
                        )
                        await self._poll(operations)
                        news.cancel()
                self._operations = None
            except Outage as error:
                self._operations = None
                self._note_trouble(str(error))
                await asyncio.sleep(self._pause())
            except HmsError as error:
                self._give_up(error)
                return

    async def _poll(self, operations: Operations) -> None:
        """Look until a file is not at its path any more: it has to be opened anew."""
        loop = asyncio.get_running_loop()
        self._is_replaced, self._health_due = False, 0.0
        while not self._is_replaced:
            self._asked.clear()
            started = loop.time()
            before = self.picture
            if not before.is_still:
                await self._look_once(operations)
            quiet = before.trends == self.picture.trends
            await self._rest(started, QUIET_SECONDS if quiet else BUSY_SECONDS)

    async def _rest(self, started: float, seconds: float) -> None:
        """Sleep until the next look is due, or asked for; never less than the least."""
        loop = asyncio.get_running_loop()
        if self._failed_in_a_row:
            seconds = self._pause()
        try:
            async with asyncio.timeout_at(started + seconds):
                await self._asked.wait()
        except TimeoutError:
            return
        # A screen that has just been opened waits for its first look: that one goes at once.
        if self.picture.answer_to(self._look) is not None or self._look is None:
            await asyncio.sleep(max(0.0, started + LEAST_SECONDS - loop.time()))

    def _pause(self) -> float:
        return min(LONGEST_WAIT_SECONDS, 0.5 * 2.0 ** min(self._failed_in_a_row, 6))

    async def _look_once(self, operations: Operations) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                picture = await self._take(operations)
        except HmsError as error:
            self._is_replaced = isinstance(error, Replaced)
            self._note_trouble(str(error))
        except TimeoutError:
            self._note_trouble(f"no answer within {PATIENCE_SECONDS:g} s")
        except Exception as error:
            log.exception("the console's look failed")
            self._note_trouble(f"{type(error).__name__}: {error}")
        else:
            self._is_replaced = picture.database is not None and picture.database.replaced
            self._failed_in_a_row = 0
            if not self.picture.is_still:  # asked for while this look was on its way
                self._publish(picture)

    async def _take(self, operations: Operations) -> Picture:
        """Ask for all that is wanted at the same time, so that it shares round trips."""
        look, old, reads = self._look, self.picture, operations.reads
        (
            (workers, queues, left_off),
            failures,
            events,
            answer,
            (broker, database),
        ) = await asyncio.gather(
            _workers_and_queues(reads),
            _or_none(reads.failures, wanted=self._wants_failures),
            _or_none(lambda: reads.newest_events(NEWEST_EVENTS), wanted=self._wants_results),
            self._answer(look, operations),
            self._health(reads),
        )
        now = reads.now_ms()
        return msgspec.structs.replace(
            old,
            at=now,
            queues=tuple(queues),
            workers=tuple(workers),
            types_left_off=left_off,
            failures=old.failures if failures is None else tuple(failures),
            results=self._add_results(events or ()),
            trends=self._trends.take(now, queues),
            p95=self._durations.p95(),
            p95_of_all=self._durations.p95_of_all(),
            broker=broker,
            database=database,
            trouble="" if broker is None or broker.ok else "; ".join(broker.notes),
            seen=answer,
        )

    async def _answer(self, look: Look | None, operations: Operations) -> Seen | None:
        """Give what the look sees, or what it saw where that is new enough."""
        if look is None:
            return None
        seen, now = self.picture.seen, operations.reads.now_ms()
        is_fresh = seen is not None and now - seen.at < look.every_seconds * 1000
        if seen is not None and seen.look == look and is_fresh and not self._impatient:
            return seen
        self._impatient = False
        return Seen(look, await look.take(operations), now)

    async def _health(self, reads: Reads) -> tuple[BrokerHealth | None, DatabaseHealth | None]:
        now = asyncio.get_running_loop().time()
        if now < self._health_due and self.picture.broker is not None:
            return self.picture.broker, self.picture.database
        self._health_due = now + HEALTH_SECONDS
        return await reads.health()

    def _add_results(self, events: Sequence[Event]) -> tuple[Result, ...]:
        """Put the results of new events before those that are known."""
        new = [event for event in events if event.position > self._position]
        if not new:
            return self.picture.results
        self._position = max(event.position for event in new)
        results = results_of(new)
        for result in results:
            self._durations.add(result.type, result.duration_ms)
        return (*results, *self.picture.results)[:KEPT_RESULTS]

    async def _listen(self, reads: Reads) -> None:
        """Hurry when something is announced; where listening fails, polling is enough."""
        heard = 0
        while True:
            try:
                if await reads.wait_for_event(heard, LONGEST_WAIT_SECONDS):
                    heard = max(
                        [heard, *(event.position for event in await reads.newest_events(1))]
                    )
                    self.hurry()
                    await asyncio.sleep(LEAST_SECONDS)
            except HmsError:
                await asyncio.sleep(LONGEST_WAIT_SECONDS)

    def _note_trouble(self, words: str) -> None:
        self._failed_in_a_row += 1
        self._publish(msgspec.structs.replace(self.picture, trouble=plain(words)))

    def _publish(self, picture: Picture) -> None:
        self.picture = picture
        self._changed(picture)


async def _workers_and_queues(
    reads: Reads,
) -> tuple[list[WorkerView], list[QueueView], int]:
    workers = await reads.workers()
    return (workers, *await reads.listed_queues(workers))


async def _or_none(ask: Callable[[], Awaitable[Answer]], *, wanted: bool) -> Answer | None:
    return await ask() if wanted else None
