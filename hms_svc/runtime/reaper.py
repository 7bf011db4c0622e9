"""Takes jobs back from workers whose lease has run out."""

from __future__ import annotations

import logging
from typing import Final

from hms_svc.ports.broker import Broker
from hms_svc.runtime.service import Service

log: Final = logging.getLogger("hms_svc.runtime")
BATCH: Final = 500


class Reaper(Service):
    """Any worker may run it; the lease alone decides, never the list of workers."""

    def __init__(self, broker: Broker, *, lease_seconds: float) -> None:
        super().__init__(interval_seconds=min(5.0, lease_seconds / 4))
        self._broker = broker

    async def run_once(self) -> None:
        """Reap until nothing has lapsed."""
        while True:
            report = await self._broker.reap(BATCH)
            found = report.rescued + report.dead + report.cancelled
            if found:
                log.warning(
                    "leases ran out: %d jobs rescued, %d dead, %d cancelled",
                    report.rescued, report.dead, report.cancelled,
                )  # fmt: skip
            if found < BATCH:
                return
