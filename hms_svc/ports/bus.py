"""The result bus: where finished steps are announced, kept for a while, and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hms_svc.domain.event import Event
from hms_svc.ports.audit_anchor import AuditAnchor


class Bus(Protocol):
    """A durable, bounded, replayable stream with named consumer groups.

    Life-cycle events are written by the broker's settle; `publish` is for the
    outbox relay. Within the retention (7 days or a million events) every group
    sees each event at least once.
    """

    @property
    def audit_anchor(self) -> AuditAnchor:
        """The heads of the audit chain, which stay when the events that announced them are gone."""
        ...

    async def publish(self, events: Sequence[Event]) -> None:
        """Append events, durably; one whose id is on the bus is not appended again."""
        ...

    async def read(self, *, after: int, limit: int) -> list[Event]:
        """Return the events above a position, oldest first. Position 0 is the beginning."""
        ...

    async def newest(self, limit: int) -> list[Event]:
        """Return the newest events, the newest first. Bounded work at any rate of events."""
        ...

    async def read_group(
        self, group: str, consumer: str, *, limit: int, from_start: bool = True
    ) -> list[Event]:
        """Hand out events that no consumer of the group has been given, and count them as pending.

        Those that a consumer has not acknowledged within a minute are handed
        out again. A group that fell behind the retention is given one
        `events.gap` first. A new group begins at the oldest event, or after the
        newest where `from_start` is False or there is none: nothing is missing then.
        BadInput for a name that is none.
        """
        ...

    async def acknowledge(self, group: str, positions: Sequence[int]) -> None:
        """Mark events as processed by the group."""
        ...

    async def wait(self, after: int, timeout_seconds: float) -> bool:
        """Sleep until there may be an event above the position; False after the timeout."""
        ...

    async def latest(self, type: str) -> Event | None:
        """Return the newest kept event of a type: what is older than the retention is gone."""
        ...
