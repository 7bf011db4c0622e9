"""Free slots → one batched claim → the jobs begin."""

from __future__ import annotations

import asyncio
from typing import Final

from hms_svc.domain import failpoints
from hms_svc.domain.job import ClaimedJob, Lane
from hms_svc.ports.broker import ClaimRequest, ServedType
from hms_svc.ports.meters import UNMETERED, Meter
from hms_svc.runtime.availability import Availability
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.loop import Service
from hms_svc.runtime.prefetch import MAX_AHEAD, low_water
from hms_svc.runtime.runs import Runs
from hms_svc.runtime.settler import Settler
from hms_svc.runtime.type_capacity import TypeCapacity, capacity_of
from hms_svc.runtime.worker_options import Engines, WorkerOptions

BACKLOG_PAUSE_SECONDS: Final = 0.005
PAUSE_SECONDS: Final = 0.5
"""How often types that are paused for an outage are checked."""
SOON_SECONDS: Final = 0.02
"""How long to wait for a slot before waiting for work: short jobs free one within it."""
WAIT_SECONDS: Final = 5.0


class Claimer(Service):
    """Keeps the slots full: claims jobs for the free ones, and begins them.

    With inline suspects it lets its running jobs end when a suspect waits, runs it alone,
    and continues. `claimed_total` is the number of jobs claimed, `iterations` that of the rounds.
    """

    def __init__(
        self,
        engines: Engines,
        options: WorkerOptions,
        *,
        runs: Runs,
        settler: Settler,
        in_flight: InFlight,
        type_capacity: TypeCapacity,
        availability: Availability,
        meter: Meter = UNMETERED,
    ) -> None:
        super().__init__(interval_seconds=0.0)
        self._broker = engines.broker
        self._options = options
        self._runs = runs
        self._settler = settler
        self._in_flight = in_flight
        self._freed = in_flight.freed
        self._availability = availability
        self._meter = meter
        self._type_capacity = type_capacity
        self._lane = options.lane
        self._waiter: asyncio.Task[bool] | None = None
        self._loop = asyncio.get_running_loop()
        self._suspects_wait = False
        self._is_held_back = False
        self._is_quiet = options.quiet is not None
        self.iterations = 0
        self.claimed_total = 0

    @property
    def is_quiet(self) -> bool:
        """Whether an operator wants it to claim nothing."""
        return self._is_quiet

    async def run_once(self) -> None:
        """Claim once if slots are free, otherwise wait for a slot, work or a signal."""
        self.iterations += 1
        self._meter.iteration_began()
        self._freed.clear()
        lane, capacity = self._capacity()
        types = self._type_capacity.types_for(capacity, limited=lane is Lane.NORMAL)
        capacity = capacity_of(types, capacity)
        claimed: list[ClaimedJob] = []
        try:
            if capacity > 0:
                claimed = await self._claim(lane, types, capacity)
                await self._runs.begin(claimed)
        finally:
            self._meter.iteration_ended()
        self._is_held_back = self._type_capacity.is_held_back(types, len(claimed))
        if lane is not self._lane and capacity > 0 and not claimed:
            return
        if len(claimed) < capacity or capacity <= 0:
            await self._wait(empty=len(claimed) < capacity)

    @property
    def _is_behind(self) -> bool:
        """Whether too many jobs wait to be settled to claim more."""
        return self._settler.backlog > 4 * self._options.slots + MAX_AHEAD

    def _capacity(self) -> tuple[Lane, int]:
        """Return the lane to claim from, and how many jobs: those for free slots, and some ahead."""
        if self._is_quiet:
            return self._lane, 0
        if self._lane is Lane.SUSPECT or (self._options.inline_suspects and self._suspects_wait):
            return Lane.SUSPECT, 0 if self._in_flight.unsettled() else 1
        if self._is_behind:
            return Lane.NORMAL, 0
        ahead = self._type_capacity.ahead
        low = self._in_flight.low_water = low_water(ahead, self._options.slots)
        if self._in_flight.running >= self._options.slots and self._runs.waiting > low:
            return Lane.NORMAL, 0
        return Lane.NORMAL, self._options.slots + ahead - len(self._in_flight)

    async def _claim(
        self, lane: Lane, types: tuple[ServedType, ...], capacity: int
    ) -> list[ClaimedJob]:
        request = ClaimRequest(
            worker=self._options.worker_id,
            types=types,
            limit=capacity,
            lease_ms=int(self._options.lease_seconds * 1000),
            lane=lane,
        )
        began = self._loop.time()
        claimed = await self._broker.claim(request)
        if failpoints.armed is not None:
            failpoints.reached("claim.replied")
        self._meter.claimed(claimed, self._loop.time() - began)
        self.claimed_total += len(claimed)
        if lane is Lane.SUSPECT and not claimed:
            self._suspects_wait = False
            if self._lane is Lane.NORMAL:
                self.wake()
        return claimed

    async def _wait(self, *, empty: bool) -> None:
        """Wait until a slot is free, or, if the queues were empty, until there may be work."""
        if self._stopping or (empty and self._is_quiet):
            return
        if not empty:
            await self._until_freed()
        elif not (self._is_held_back and await self._is_freed_within(SOON_SECONDS)):
            await self._until_notified()

    async def _until_freed(self) -> None:
        if self._is_quiet:
            await self._freed.wait()
        elif self._availability.has_paused:
            await self._is_freed_within(PAUSE_SECONDS)
        elif len(self._in_flight) and not self._is_behind:
            await self._freed.wait()
        else:
            await self._is_freed_within(BACKLOG_PAUSE_SECONDS)

    async def _is_freed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._freed.wait()
        except TimeoutError:
            return False
        return True

    async def _until_notified(self) -> None:
        if self._waiter is None or self._waiter.done():
            self._waiter = asyncio.create_task(
                self._broker.wait_for_work(WAIT_SECONDS), name="wait-for-work"
            )
        if not self._is_held_back:
            await asyncio.wait({self._waiter})
        else:
            seconds = PAUSE_SECONDS if self._availability.has_paused else None
            freed = asyncio.create_task(self._freed.wait(), name="wait-for-slot")
            await asyncio.wait(
                {self._waiter, freed}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            freed.cancel()
            # It waits for the types that had free slots so far; the next claim asks for others.
            self._waiter.cancel()
            await asyncio.wait({self._waiter})
        if not self._waiter.cancelled():
            self._waiter.result()

    def wake(self) -> None:
        """End a wait for a slot."""
        super().wake()
        self._freed.set()

    def expect_suspects(self) -> None:
        """Claim suspects once no other job is running, if this worker runs them inline."""
        self._suspects_wait = True

    def keep_quiet(self, *, quiet: bool) -> None:
        """Stop claiming and give back what has not begun, or claim again."""
        self._is_quiet = quiet
        if quiet:
            self._runs.release_waiting()
        self._interrupt()

    def stop(self) -> None:
        """Stop claiming."""
        super().stop()
        self._interrupt()

    def _interrupt(self) -> None:
        """End the waits for a slot and for work."""
        self._freed.set()
        if self._waiter is not None:
            self._waiter.cancel()
