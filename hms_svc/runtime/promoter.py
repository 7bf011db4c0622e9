"""Makes scheduled and retrying jobs ready when their time has come."""

from __future__ import annotations

from typing import Final

from hms_svc.ports.broker import Broker
from hms_svc.runtime.loop import Service

BATCH: Final = 1000


class Promoter(Service):
    """Looks four times a second; a check where nothing is due is one indexed read."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(interval_seconds=0.25)
        self._broker = broker

    async def run_once(self) -> None:
        """Promote until nothing is due."""
        while await self._broker.promote(BATCH) == BATCH:
            pass
