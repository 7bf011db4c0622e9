"""Chains committed audit rows, and publishes the head so that a cut-off tail shows."""

from __future__ import annotations

from hms_svc.domain.event import AUDIT_SEALED, Event
from hms_svc.domain.ids import event_id
from hms_svc.domain.strict_json import encode
from hms_svc.ports.bus import Bus
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import Ledger
from hms_svc.runtime.service import Service


class Sealer(Service):
    """Seals every second while there is something to seal."""

    def __init__(self, ledger: Ledger, bus: Bus, clock: Clock) -> None:
        super().__init__(interval_seconds=1.0)
        self._ledger = ledger
        self._bus = bus
        self._clock = clock

    def wake(self) -> None:
        """Keep to the second: rows are sealed in groups."""

    async def run_once(self) -> None:
        """Seal what was committed since the last time."""
        head = await self._ledger.seal()
        if head is None:
            return
        link, digest = head
        await self._bus.publish(
            [
                Event(
                    id=event_id("audit", AUDIT_SEALED, f"{link}:{digest}"),
                    type=AUDIT_SEALED,
                    subject="audit",
                    at=self._clock.now_ms(),
                    data=encode({"link": link, "digest": digest}),
                )
            ]
        )
