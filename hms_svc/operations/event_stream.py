"""The bus as a stream of events for a consumer."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Protocol, TypeVar

from hms_svc.domain.errors import BadInput
from hms_svc.domain.event import EVENTS_GAP, Event, check_consumer_group, is_of_types
from hms_svc.operations.bus_positions import newest_position
from hms_svc.ports.bus import Bus

BATCH: Final = 100
CHECK_EVERY_SECONDS: Final = 5.0
Result = TypeVar("Result")


class Runner(Protocol):
    """Runs coroutines of the bus on the loop that the bus belongs to."""

    async def __call__(self, coroutine: Coroutine[Any, Any, Result], /) -> Result:
        """Return the answer."""
        ...


async def here(coroutine: Coroutine[Any, Any, Result], /) -> Result:
    """Run on the loop of the caller."""
    return await coroutine


class EventStream:
    """An endless stream of events of the types that match one of the globs (none given: all).

    In a `group` each event goes to one of its consumers, and is redelivered after a minute unless it
    is acknowledged; `events.gap` reports what a group that fell behind has missed. Without a group
    the stream has the events above the position `after`. BadInput for an invalid or reserved group name.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        types: Sequence[str] = (),
        group: str | None = None,
        consumer: str = "",
        after: int = 0,
        from_start: bool = True,
        run: Runner = here,
    ) -> None:
        self._bus = bus
        self._types = tuple(types)
        self._group = None if group is None else check_consumer_group(group)
        self._consumer = consumer
        self._after = after
        self._from_start = from_start
        self._run = run
        self._ready: deque[Event] = deque()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event. Cancelling the wait loses nothing."""
        while not self._ready:
            newest = await self._run(newest_position(self._bus))
            if not await self._fetch():
                await self._run(self._bus.wait(newest, CHECK_EVERY_SECONDS))
        return self._ready.popleft()

    async def acknowledge(self, *events: Event) -> None:
        """Report these events as processed by the group; BadInput if there is no group."""
        if self._group is None:
            raise BadInput("only a group acknowledges events: open the stream with group=…")
        positions = [event.position for event in events]
        await self._run(self._bus.acknowledge(self._group, positions))

    async def _fetch(self) -> bool:
        events = await self._run(self._read())
        self._ready.extend(event for event in events if self._fits(event))
        unwanted = [event for event in events if not self._fits(event)]
        if self._group is None and events:
            self._after = events[-1].position
        elif unwanted:
            await self.acknowledge(*unwanted)
        return bool(events)

    def _read(self) -> Coroutine[Any, Any, list[Event]]:
        if self._group is None:
            return self._bus.read(after=self._after, limit=BATCH)
        return self._bus.read_group(
            self._group, self._consumer, limit=BATCH, from_start=self._from_start
        )

    def _fits(self, event: Event) -> bool:
        if not self._types or event.type == EVENTS_GAP:
            return True
        return is_of_types(event.type, self._types)
