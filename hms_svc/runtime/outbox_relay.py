"""Carries committed announcements from the database to the bus, and follow-up jobs to the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final

from hms_svc.ports.broker import Broker
from hms_svc.ports.bus import Bus
from hms_svc.ports.stores import Ledger, OutboxEntry
from hms_svc.runtime.service import Service

BATCH: Final = 500


class OutboxRelay(Service):
    """Publishes first and marks afterwards: stable ids make a repetition harmless."""

    def __init__(self, ledger: Ledger, bus: Bus, broker: Broker) -> None:
        super().__init__(interval_seconds=2.0)
        self._ledger = ledger
        self._bus = bus
        self._broker = broker

    async def run_once(self) -> None:
        """Relay until the outbox is empty."""
        while await self._ledger.relay(BATCH, self._carry) == BATCH:
            pass

    async def _carry(self, entries: Sequence[OutboxEntry]) -> None:
        carried: list[Awaitable[object]] = []
        if events := [entry.event for entry in entries if entry.event is not None]:
            carried.append(self._bus.publish(events))
        if jobs := [entry.job for entry in entries if entry.job is not None]:
            carried.append(self._broker.enqueue(jobs))
        await asyncio.gather(*carried)
