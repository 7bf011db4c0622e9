"""Creates jobs that deliver events on the bus to the receivers in the agencies file."""

from __future__ import annotations

import logging
from typing import Final

from hms_svc.domain.agencies import Receiver
from hms_svc.domain.deliveries import delivery_job, is_due
from hms_svc.domain.event import RECEIVER_GROUPS, Event
from hms_svc.ports.broker import Broker, conflicts
from hms_svc.ports.bus import Bus
from hms_svc.ports.clock import Clock
from hms_svc.runtime.loop import Service

log: Final = logging.getLogger("hms_svc.runtime")
BATCH: Final = 500


class EventForwarder(Service):
    """Reads the bus once a second for each receiver, in a consumer group shared by all workers.

    It enqueues first and acknowledges afterwards; stable ids make a repetition harmless. A new
    receiver gets the events from then on.
    """

    def __init__(
        self,
        receivers: tuple[Receiver, ...],
        bus: Bus,
        broker: Broker,
        clock: Clock,
        *,
        namespace: str,
        worker_id: str,
    ) -> None:
        super().__init__(interval_seconds=1.0)
        self._receivers = receivers
        self._bus = bus
        self._broker = broker
        self._clock = clock
        self._namespace = namespace
        self._worker_id = worker_id

    async def run_once(self) -> None:
        """Forward until no receiver has events left."""
        for receiver in self._receivers:
            group = RECEIVER_GROUPS + receiver.name
            while events := await self._bus.read_group(
                group, self._worker_id, limit=BATCH, from_start=False
            ):
                await self._forward(receiver, events)
                await self._bus.acknowledge(group, [event.position for event in events])

    async def _forward(self, receiver: Receiver, events: list[Event]) -> None:
        now_ms = self._clock.now_ms()
        jobs = [
            delivery_job(receiver, event, self._namespace, now_ms)
            for event in events
            if is_due(receiver, event)
        ]
        if jobs:
            # Only this code makes such ids: the job was forwarded before, and may have been erased.
            for job_id in conflicts(await self._broker.enqueue(jobs)):
                log.warning("delivery %s exists already, with other data", job_id)
