"""What an operator can read on the event stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hms_svc.domain.event import Event, check_consumer_group
from hms_svc.operations.bus_positions import first_position, newest_position
from hms_svc.ports.bus import Bus


class EventReads:
    """The part of the operator service that reads events; `_bus` comes from the whole."""

    _bus: Bus

    async def events(self, *, after: int, follow: bool) -> AsyncIterator[Event]:
        """Yield the kept events above a position; with `follow` continue with new ones."""
        while True:
            events = await self._bus.read(after=after, limit=500)
            for event in events:
                after = event.position
                yield event
            if not events:
                if not follow:
                    return
                await self._bus.wait(after, 5.0)

    async def kept_events(self, *, after: int, limit: int) -> list[Event]:
        """Return the kept events above a position, oldest first."""
        return await self._bus.read(after=after, limit=limit)

    async def newest_events(self, limit: int) -> list[Event]:
        """Return the newest kept events, the newest first."""
        return await self._bus.newest(limit)

    async def group_events(
        self, group: str, consumer: str, *, follow: bool, from_start: bool
    ) -> AsyncIterator[Event]:
        """Yield the events that the group has not received; each batch is acknowledged once it was consumed.

        BadInput for an invalid or reserved name.
        """
        check_consumer_group(group)
        while True:
            newest = await newest_position(self._bus) if follow else 0
            events = await self._bus.read_group(group, consumer, limit=100, from_start=from_start)
            for event in events:
                yield event
            await self._bus.acknowledge(group, [event.position for event in events])
            if not events:
                if not follow:
                    return
                await self._bus.wait(newest, 5.0)

    async def newest_position(self) -> int:
        """Return the position of the newest event on the bus, 0 if there is none."""
        return await newest_position(self._bus)

    async def position_at(self, at: int) -> int:
        """Return the position after which the events from a time (Unix ms) on begin."""
        return await first_position(self._bus, lambda event: event.at >= at)

    async def wait_for_event(self, after: int, timeout_seconds: float) -> bool:
        """Wait until there may be an event above a position; False after the timeout."""
        return await self._bus.wait(after, timeout_seconds)
