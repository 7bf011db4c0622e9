"""The store: polls the operator service, keeps the last good snapshot, and recovers from outages."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from hms_svc.domain.errors import DatabaseUnavailable, HmsError, Outage, Replaced
from hms_svc.domain.event import Event
from hms_svc.domain.lifecycle import State
from hms_svc.domain.plain_text import plain
from hms_svc.domain.views import FailureGroup, QueueView, WorkerView
from hms_svc.operations.health import HealthInputs, HealthWatch, seen_of_outage
from hms_svc.ports.inspection import BrokerHealth
from hms_svc.tui.launch import Launch, Opened
from hms_svc.tui.query_runner import QueryRunner
from hms_svc.tui.recent_groups import RecentGroups
from hms_svc.tui.snapshot import Result, ScreenQuery, Snapshot, results_of
from hms_svc.tui.trend import Durations, Trends

if TYPE_CHECKING:
    from hms_svc.operations.reads import Reads
    from hms_svc.operations.service import Operations
    from hms_svc.ports.database import DatabaseHealth

BUSY_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 2.0
MIN_SECONDS: Final = 0.8
HEALTH_SECONDS: Final = 5.0
LONGEST_WAIT_SECONDS: Final = 5.0
REOPEN_SECONDS: Final = 10.0
"""The time between two attempts to open the database."""
TIMEOUT_SECONDS: Final = 6.0
PROBE_SECONDS: Final = 1.0
"""How long a snapshot waits for the health probe of the engines; then it keeps the last result."""
NEWEST_EVENTS: Final = 100
KEPT_RESULTS: Final = 200
Answer = TypeVar("Answer")
log: Final = logging.getLogger("hms_svc.console")


class Store:
    """Polls at most every 0.8 s; `changed` is called with each new snapshot."""

    def __init__(
        self,
        launch: Launch,
        changed: Callable[[Snapshot], None],
        give_up: Callable[[HmsError], None],
    ) -> None:
        self.snapshot = Snapshot()
        self._launch = launch
        self._changed = changed
        self._give_up = give_up
        self._operations: Operations | None = None
        self._data_query: ScreenQuery | None = None
        self._wants_failures = True
        self.always_failures = False
        self._wants_results = True
        self._wakeup = asyncio.Event()
        self._trends = Trends()
        self._recent_groups = RecentGroups()
        self._durations = Durations()
        self._failed_in_a_row = 0
        self._position = 0
        self._is_forced = False
        self._health_due = 0.0
        self._is_replaced = False
        self._query_runner = QueryRunner(self._wakeup.set)
        self._watch = HealthWatch()
        self._probe: asyncio.Task[tuple[BrokerHealth, DatabaseHealth | None]] | None = None

    def operations(self) -> Operations:
        """Return the operator service; raise Outage if it is not open."""
        if self._operations is None:
            raise Outage("broker or database cannot be reached; nothing was done")
        return self._operations

    def want(
        self, data_query: ScreenQuery | None, *, failures: bool = False, results: bool = False
    ) -> None:
        """Set what the screen shows: nothing else is read."""
        self._data_query, self._wants_results = data_query, results
        self._wants_failures = failures or self.always_failures
        self.refresh_now()

    def refresh_now(self, *, force: bool = False) -> None:
        """Poll now instead of waiting; `force` reruns the query of the screen even if its answer is fresh."""
        self._is_forced |= force
        self._wakeup.set()

    def set_frozen(self, *, frozen: bool) -> None:
        """Stop or resume refreshing."""
        self._publish(msgspec.structs.replace(self.snapshot, is_frozen=frozen))
        self.refresh_now()

    async def run(self) -> None:
        """Open the operator service, retrying during outages, and poll until cancelled."""
        while True:
            try:
                await self._open_and_poll(self._launch.operations)
            except DatabaseUnavailable as error:
                await self._poll_without_database(error)
            except Outage as error:
                await self._wait_out(error)
            except HmsError as error:
                self._give_up(error)
                return

    async def _poll_without_database(self, error: Outage) -> None:
        """Poll the broker alone for some seconds; then the database is tried again."""
        self._operations = None
        if self._launch.without_database is None:
            await self._wait_out(error)
            return
        try:
            await self._open_and_poll(self._launch.without_database, seconds=REOPEN_SECONDS)
        except Outage as other:
            await self._wait_out(other)

    async def _wait_out(self, error: Outage) -> None:
        self._operations = None
        self._publish_outage(error)
        await asyncio.sleep(self._pause())

    async def _open_and_poll(self, opened: Opened, *, seconds: float | None = None) -> None:
        async with opened() as operations:
            self._operations = operations
            async with asyncio.TaskGroup() as group:
                listener = group.create_task(
                    self._listen(operations.reads), name="console-listener"
                )
                await self._poll(operations, seconds)
                listener.cancel()
        self._operations = None

    async def _poll(self, operations: Operations, seconds: float | None) -> None:
        """Poll for `seconds`, or until a database file was replaced and has to be reopened."""
        self._is_replaced, self._health_due = False, 0.0
        try:
            async with asyncio.timeout(seconds):
                await self._poll_until_replaced(operations)
        except TimeoutError:
            return
        finally:
            self._query_runner.cancel()
            if self._probe is not None:
                self._probe.cancel()
                self._probe = None

    async def _poll_until_replaced(self, operations: Operations) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_replaced:
            self._wakeup.clear()
            started = loop.time()
            before = self.snapshot
            if not before.is_frozen:
                await self._query_once(operations)
            quiet = before.trends == self.snapshot.trends
            await self._rest(started, QUIET_SECONDS if quiet else BUSY_SECONDS)

    async def _rest(self, started: float, seconds: float) -> None:
        """Wait until the next poll is due or requested, at least `MIN_SECONDS`."""
        loop = asyncio.get_running_loop()
        if self._failed_in_a_row:
            seconds = self._pause()
        try:
            async with asyncio.timeout_at(started + seconds):
                await self._wakeup.wait()
        except TimeoutError:
            return
        # A screen that was just opened waits for its first answer: run that query at once.
        if self.snapshot.answer_to(self._data_query) is not None or self._data_query is None:
            await asyncio.sleep(max(0.0, started + MIN_SECONDS - loop.time()))

    def _pause(self) -> float:
        return min(LONGEST_WAIT_SECONDS, 0.5 * 2.0 ** min(self._failed_in_a_row, 6))

    async def _query_once(self, operations: Operations) -> None:
        """Read everything that is wanted concurrently; the failure of one engine does not affect the rest."""
        force, self._is_forced = self._is_forced, False
        common, answered, engines = await asyncio.gather(
            self._with_timeout(lambda: self._common(operations.reads)),
            self._query_runner.answer(self._data_query, operations, force=force),
            self._with_timeout(lambda: self._engines(operations.reads)),
        )
        known = self.snapshot if isinstance(engines, _Failed) else engines
        self._is_replaced = answered.is_replaced or (
            known.database is not None and known.database.replaced
        )
        snapshot = msgspec.structs.replace(
            self.snapshot,
            broker=known.broker,
            database=known.database,
            seen=answered.seen,
            query_trouble=answered.trouble,
        )
        if isinstance(common, _Failed):
            self._is_replaced |= common.is_replaced
            self._health_due = 0.0
            self._publish_trouble(common.reason, snapshot, is_outage=common.is_outage)
            return
        self._failed_in_a_row = 0
        if not self.snapshot.is_frozen:  # it may have been frozen during this poll
            self._publish(self._updated(snapshot, common, operations.reads))

    async def _with_timeout(self, work: Callable[[], Awaitable[Answer]]) -> Answer | _Failed:
        """Return the result of the work, or why it failed or timed out.

        The coroutine is created here, so that a cancelled poll leaves none that was never awaited.
        """
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await work()
        except HmsError as error:
            return _Failed(str(error), isinstance(error, Replaced))
        except TimeoutError:
            return _Failed(f"no answer within {TIMEOUT_SECONDS:g} s")
        except Exception as error:
            log.exception("the console's query failed")
            return _Failed(f"{type(error).__name__}: {error}", is_outage=False)

    async def _common(self, reads: Reads) -> _Common:
        """Read what every screen shows from the broker, concurrently to save round trips."""
        (live, silent, queues, left_off), failures, events = await asyncio.gather(
            _workers_and_queues(reads),
            _or_none(reads.failures, wanted=self._wants_failures),
            _or_none(lambda: reads.newest_events(NEWEST_EVENTS), wanted=self._wants_results),
        )
        return _Common(live, silent, queues, left_off, failures, events)

    def _updated(self, snapshot: Snapshot, common: _Common, reads: Reads) -> Snapshot:
        """Return the snapshot with the broker's data."""
        broker = snapshot.broker
        seen = reads.seen(broker, snapshot.database, common.queues, common.workers, common.silent)
        return msgspec.structs.replace(
            snapshot,
            at=seen.at,
            queues=tuple(common.queues),
            workers=tuple(common.workers),
            silent_workers=tuple(common.silent),
            types_left_off=common.left_off,
            failures=snapshot.failures
            if common.failures is None
            else self._recent_groups.take(common.failures, seen.at),
            results=self._add_results(common.events or ()),
            trends=self._trends.take(seen.at, common.queues),
            p95=self._durations.p95(),
            p95_of_all=self._durations.p95_of_all(),
            health=self._watch.take(seen),
            lease_ms=reads.lease_ms,
            causes_at=snapshot.causes_at if common.failures is None else seen.at,
            trouble="" if broker is None or broker.ok else "; ".join(broker.notes),
        )

    async def _engines(self, reads: Reads) -> Snapshot:
        """Return a snapshot with the health of both engines, at most some seconds old."""
        now = asyncio.get_running_loop().time()
        if self._probe is None:
            if now < self._health_due and self.snapshot.broker is not None:
                return self.snapshot
            self._health_due = now + HEALTH_SECONDS
            self._probe = asyncio.create_task(reads.health(), name="console-probe")
        await asyncio.wait({self._probe}, timeout=PROBE_SECONDS)
        if not self._probe.done():
            return self.snapshot
        probe, self._probe = self._probe, None
        broker, database = probe.result()
        return msgspec.structs.replace(self.snapshot, broker=broker, database=database)

    def _add_results(self, events: Sequence[Event]) -> tuple[Result, ...]:
        """Prepend the results of new events."""
        new = [event for event in events if event.position > self._position]
        if not new:
            return self.snapshot.results
        self._position = max(event.position for event in new)
        results = results_of(new)
        for result in results:
            if result.state is not State.CANCELLED:
                self._durations.add(result.type, result.duration_ms)
        return (*results, *self.snapshot.results)[:KEPT_RESULTS]

    async def _listen(self, reads: Reads) -> None:
        """Poll at once after a new event; if listening fails, regular polling is enough."""
        position = 0
        while True:
            try:
                if await reads.wait_for_event(position, LONGEST_WAIT_SECONDS):
                    position = max(
                        [position, *(event.position for event in await reads.newest_events(1))]
                    )
                    self.refresh_now()
                    await asyncio.sleep(MIN_SECONDS)
            except HmsError:
                await asyncio.sleep(LONGEST_WAIT_SECONDS)

    def _publish_trouble(self, reason: str, snapshot: Snapshot, *, is_outage: bool = True) -> None:
        """Publish the last good snapshot with the reason why the broker has no newer data."""
        self._failed_in_a_row += 1
        broker, now = snapshot.broker, int(time.time() * 1000)
        if is_outage:
            kind = broker.kind if broker is not None else _kind_in(self._launch.facts.broker)
            broker = BrokerHealth(kind, False, 0.0, (reason,))
        health = self._watch.take(HealthInputs(at=now, broker=broker, database=snapshot.database))
        self._publish(
            msgspec.structs.replace(snapshot, broker=broker, health=health, trouble=plain(reason))
        )

    def _publish_outage(self, error: Outage) -> None:
        """Publish an outage of an engine that could not be opened; the other engine is unknown."""
        self._failed_in_a_row += 1
        facts, now = self._launch.facts, int(time.time() * 1000)
        kinds = {"broker": _kind_in(facts.broker), "database": _kind_in(facts.database)}
        seen = seen_of_outage(error, now, **kinds)
        self._publish(
            msgspec.structs.replace(
                self.snapshot,
                broker=seen.broker,
                database=seen.database,
                health=self._watch.take(seen),
                trouble=plain(str(error)),
            )
        )

    def _publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._changed(snapshot)


class _Failed(msgspec.Struct, frozen=True):
    """Why a read failed; `is_outage` if its engine is the reason."""

    reason: str
    is_replaced: bool = False
    is_outage: bool = True


class _Common(msgspec.Struct, frozen=True):
    """Data from the broker; None for parts that were not wanted."""

    workers: Sequence[WorkerView]
    silent: Sequence[WorkerView]
    queues: Sequence[QueueView]
    left_off: int
    failures: Sequence[FailureGroup] | None
    events: Sequence[Event] | None


async def _workers_and_queues(
    reads: Reads,
) -> tuple[list[WorkerView], list[WorkerView], list[QueueView], int]:
    live, silent = await reads.register()
    return (live, silent, *await reads.listed_queues(live))


def _kind_in(address: str) -> str:
    return address.partition(":")[0]


async def _or_none(ask: Callable[[], Awaitable[Answer]], *, wanted: bool) -> Answer | None:
    return await ask() if wanted else None
