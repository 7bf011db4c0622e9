"""How many jobs of each type a worker may claim: what its limits and the outages leave."""

from __future__ import annotations

from typing import Final

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.handling.registry import Registry, slots_by_type
from hms_svc.ports.broker import ServedType
from hms_svc.runtime.availability import Availability
from hms_svc.runtime.inflight import InFlight

DEFAULT_RETRY: Final = RetryPolicy()


class TypeRoom:
    """Gives the types of a claim, each with its room.

    `held_back` tells whether a type had less room than the claim: the end of a job, or of an
    outage, may then give it more.
    """

    def __init__(
        self, registry: Registry, slots: int, in_flight: InFlight, availability: Availability
    ) -> None:
        self._slots_of = slots_by_type(registry, slots)
        self._in_flight = in_flight
        self._availability = availability
        self._served = tuple(
            ServedType(declared.type, (declared.retry or DEFAULT_RETRY).max_attempts)
            for declared in registry
        )
        self.held_back = False

    def types_for(self, room: int, *, limited: bool) -> tuple[ServedType, ...]:
        """Give the types for a claim of so many jobs; not `limited` leaves the limits aside."""
        paused = self._availability.has_paused
        types = tuple(
            self._with_room(served, room, limited=limited, paused=paused) for served in self._served
        )
        self.held_back = any(served.room is not None for served in types)
        return types

    def _with_room(
        self, served: ServedType, room: int, *, limited: bool, paused: bool
    ) -> ServedType:
        type = served.type
        if paused and self._availability.is_paused(type):
            return ServedType(type, served.max_attempts, 0)
        free = self._slots_of[type] - self._in_flight.of_type(type)
        if not limited or free >= room:
            return served
        return ServedType(type, served.max_attempts, max(0, free))


def room_of(types: tuple[ServedType, ...], room: int) -> int:
    """Give how many jobs these types may have together, at most `room`."""
    return min(room, sum(room if each.room is None else each.room for each in types))
