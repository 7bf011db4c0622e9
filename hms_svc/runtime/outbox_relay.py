"""Carries committed announcements from the database to the bus, and follow-up jobs to the broker."""

from __future__ import annotations

import asyncio
from typing import Final

from hms_svc.ports.broker import Broker
from hms_svc.ports.bus import Bus
from hms_svc.ports.stores import Ledger
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
        while True:
            entries = await self._ledger.outbox(BATCH)
            if not entries:
                return
            events = [entry.event for entry in entries if entry.event is not None]
            jobs = [entry.job for entry in entries if entry.job is not None]
            await asyncio.gather(self._bus.publish(events), self._broker.enqueue(jobs))
            await self._ledger.mark_published([entry.number for entry in entries])
            if len(entries) < BATCH:
                return
