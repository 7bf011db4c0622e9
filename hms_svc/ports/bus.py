"""The result bus: a stream of events that is kept for a while and can be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hms_svc.domain.event import Event
from hms_svc.ports.audit_anchor import AuditAnchor


class Bus(Protocol):
    """A durable, bounded, replayable stream with named consumer groups.

    Life-cycle events are written by `Broker.settle`; `publish` is for the outbox relay.
    Within the retention (7 days or a million events) every group gets each event at
    least once.
    """

    @property
    def audit_anchor(self) -> AuditAnchor:
        """The heads of the audit chain, which are kept longer than the events that announced them."""
        ...

    async def publish(self, events: Sequence[Event]) -> None:
        """Append events, durably; an event whose id is already on the bus is not appended again."""
        ...

    async def read(self, *, after: int, limit: int) -> list[Event]:
        """Return the events above a position, oldest first. Position 0 is the beginning."""
        ...

    async def newest(self, limit: int) -> list[Event]:
        """Return the newest events, newest first. The work is bounded at any rate of events."""
        ...

    async def read_group(
        self, group: str, consumer: str, *, limit: int, from_start: bool = True
    ) -> list[Event]:
        """Return events that no consumer of the group has received, and mark them as pending.

        Events that a consumer has not acknowledged within a minute are delivered again.
        A group that fell behind the retention gets one `events.gap` first. A new group begins
        at the oldest event, or after the newest if `from_start` is False.
        Raise BadInput for an invalid name.
        """
        ...

    async def acknowledge(self, group: str, positions: Sequence[int]) -> None:
        """Mark events as processed by the group."""
        ...

    async def wait(self, after: int, timeout_seconds: float) -> bool:
        """Wait until there may be an event above the position; return False after the timeout."""
        ...

    async def latest(self, type: str) -> Event | None:
        """Return the newest event of a type within the retention, or None."""
        ...
