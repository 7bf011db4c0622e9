"""The result bus on a Redis stream. Positions are the first half of the stream ids."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import RedisError

from hms_svc.brokers.redis import bus_calls
from hms_svc.brokers.redis.audit_anchor import RedisAuditAnchor
from hms_svc.brokers.redis.clients import BLOCK_SECONDS
from hms_svc.brokers.redis.link import Link, error_text
from hms_svc.brokers.redis.poll_pace import pause_if_early
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.event import EVENTS_GAP, Event, check_group
from hms_svc.domain.ids import event_id
from hms_svc.domain.strict_json import encode

AGAIN_AFTER_MS: Final = 60_000
_WALK: Final = 1000
_LEAST_SECONDS: Final = 0.001
"""The shortest wait that Redis accepts; 0 would be for ever."""
Entry = tuple[bytes, dict[bytes, bytes]]


class RedisBus:
    """Implements `ports.bus.Bus`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._name = link.keys.ours("bus")
        self.audit_anchor = RedisAuditAnchor(link)

    async def publish(self, events: Sequence[Event]) -> None:
        """Append events; one whose id exists already is skipped."""
        await self._link.run(bus_calls.publish(events))

    async def read(self, *, after: int, limit: int) -> list[Event]:
        """Return the events above a position."""
        found = await self._link.ask("XRANGE", self._name, f"{after + 1}-0", "+", "COUNT", limit)
        return [_event(*entry) for entry in found]

    async def newest(self, limit: int) -> list[Event]:
        """Return the newest events."""
        found = await self._link.ask("XREVRANGE", self._name, "+", "-", "COUNT", limit)
        return [_event(*entry) for entry in found]

    async def read_group(
        self, group: str, consumer: str, *, limit: int, from_start: bool = True
    ) -> list[Event]:
        """Return overdue events first, then new ones."""
        check_group(group)
        found = await self._link.run(
            bus_calls.read_group(
                group, limit=limit, from_start=from_start, again_after_ms=AGAIN_AFTER_MS
            )
        )
        events = [_event(position, _pairs(fields)) for position, fields in found.entries]
        if not found.gap:
            return events
        first, last = found.gap
        lost = {"group": group, "from": first, "to": last}
        gap_id = event_id(group, EVENTS_GAP, f"{first - 1}-{last + 1}")
        now = self._link.clock.now_ms()
        return [
            Event(id=gap_id, type=EVENTS_GAP, subject=group, at=now, data=encode(lost)),
            *events,
        ]

    async def acknowledge(self, group: str, positions: Sequence[int]) -> None:
        """Remove processed deliveries."""
        if positions:
            name = self._link.keys.ours("bus", "pending", group)
            await self._link.ask("ZREM", name, *positions)

    async def wait(self, after: int, timeout_seconds: float) -> bool:
        """Block at the server until there is an event above the position."""
        end = time.monotonic() + timeout_seconds
        while True:
            started = time.monotonic()
            block = max(_LEAST_SECONDS, min(end - started, BLOCK_SECONDS))
            if await self._block(after, block):
                return True
            await pause_if_early(started, block)
            if end - time.monotonic() < _LEAST_SECONDS:
                return False

    async def _block(self, after: int, seconds: float) -> bool:
        """Return whether there is an event above the position, after one blocking call."""
        try:
            found = await self._link.waiting.xread(
                {self._name: f"{after}-18446744073709551615"}, count=1, block=int(seconds * 1000)
            )
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"{self._link.address}: {error_text(error)}") from error
        return bool(found)

    async def latest(self, type: str) -> Event | None:
        """Return the newest event of a type: a service's from its index, a job's by walking back."""
        name = self._link.keys.ours("bus", "latest")
        place = await self._link.ask("HGET", name, type)
        if place is not None:
            found = await self.read(after=int(place) - 1, limit=1)
            return found[0] if found and found[0].position == int(place) else None
        return await self._walk_back(type) if type.startswith("job.") else None

    async def _walk_back(self, type: str) -> Event | None:
        end = "+"
        while True:
            found = await self._link.ask("XREVRANGE", self._name, end, "-", "COUNT", _WALK)
            for position, fields in found:
                if fields[b"t"] == type.encode():
                    return _event(position, fields)
            if len(found) < _WALK:
                return None
            end = "(" + found[-1][0].decode()


def _pairs(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


def _event(position: bytes, fields: dict[bytes, Any]) -> Event:
    type, subject = fields[b"t"].decode(), fields[b"j"].decode()
    own = fields.get(b"e")
    return Event(
        id=own.decode() if own else event_id(subject, type, fields[b"f"].decode()),
        type=type,
        subject=subject,
        at=int(fields[b"a"]),
        data=fields[b"d"],
        position=int(position.partition(b"-")[0]),
    )
