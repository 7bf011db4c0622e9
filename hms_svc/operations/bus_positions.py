"""Positions on the bus: the newest, and the first that meets a condition."""

from __future__ import annotations

from collections.abc import Callable

from hms_svc.domain.event import Event
from hms_svc.ports.bus import Bus


async def newest_position(bus: Bus) -> int:
    """Return the position of the newest event on a bus, 0 if there is none."""
    found = await bus.newest(1)
    return found[0].position if found else 0


async def first_position(bus: Bus, reached: Callable[[Event], bool]) -> int:
    """Return the position after which the events that meet the condition begin."""
    low, high = 0, 1
    while not await _beyond(bus, high, reached):
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if await _beyond(bus, middle, reached):
            high = middle
        else:
            low = middle + 1
    return low


async def _beyond(bus: Bus, position: int, reached: Callable[[Event], bool]) -> bool:
    events = await bus.read(after=position, limit=1)
    return not events or reached(events[0])
