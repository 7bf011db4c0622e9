"""Makes scheduled and retrying jobs ready when they are due."""

from __future__ import annotations

from typing import Final

from hms_svc.ports.broker import Broker
from hms_svc.runtime.loop import Service

BATCH: Final = 1000


class Promoter(Service):
    """Polls four times a second, with one indexed read if nothing is due."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(interval_seconds=0.25)
        self._broker = broker

    async def run_once(self) -> None:
        """Promote until nothing is due."""
        while await self._broker.promote(BATCH) == BATCH:
            pass
