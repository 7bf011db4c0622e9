"""How many jobs of each type a worker may claim, given its limits and current outages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.ports.broker import ServedType
from hms_svc.runtime.availability import Availability
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.prefetch import MAX_AHEAD, Prefetch
from hms_svc.sdk.registry import Registry

DEFAULT_RETRY: Final = RetryPolicy()


class TypeCapacity:
    """Returns the types of a claim, each with its capacity."""

    def __init__(
        self,
        registry: Registry,
        slots_of: Mapping[str, int],
        in_flight: InFlight,
        availability: Availability,
        prefetch: Prefetch,
    ) -> None:
        self._slots_of = slots_of
        self._prefetch = prefetch
        self._in_flight = in_flight
        self._availability = availability
        self._served = tuple(
            ServedType(
                declared.type,
                (declared.retry or DEFAULT_RETRY).max_attempts,
                weight=declared.weight,
            )
            for declared in registry
        )

    @property
    def ahead(self) -> int:
        """How many jobs may be claimed beyond the slots, of all types together."""
        return min(MAX_AHEAD, sum(map(self._prefetch.ahead_of, self._slots_of)))

    def types_for(self, capacity: int, *, limited: bool) -> tuple[ServedType, ...]:
        """Return the types for a claim of `capacity` jobs; without `limited` their limits are ignored."""
        paused = self._availability.has_paused
        return tuple(
            self._with_capacity(served, capacity, limited=limited, paused=paused)
            for served in self._served
        )

    def is_held_back(self, types: tuple[ServedType, ...], claimed: int) -> bool:
        """Return whether a claim of so many jobs may have left some for which a type had no capacity.

        The end of a job, or of an outage, may then increase its capacity.
        """
        return any(
            served.capacity is not None
            and (served.capacity <= claimed or self._in_flight.of_type(served.type) > 0)
            for served in types
        )

    def _with_capacity(
        self, served: ServedType, capacity: int, *, limited: bool, paused: bool
    ) -> ServedType:
        type = served.type
        if paused and self._availability.is_paused(type):
            return ServedType(type, served.max_attempts, 0, served.weight)
        free = self._slots_of[type] + self._prefetch.ahead_of(type) - self._in_flight.of_type(type)
        if not limited or free >= capacity:
            return served
        return ServedType(type, served.max_attempts, max(0, free), served.weight)


def capacity_of(types: tuple[ServedType, ...], capacity: int) -> int:
    """Return how many jobs may be claimed for these types together, at most `capacity`."""
    return min(
        capacity, sum(capacity if each.capacity is None else each.capacity for each in types)
    )
