"""Polls for requests to a worker: cancel requests, waiting suspects, and the state it should have."""

from __future__ import annotations

from collections.abc import Callable

from hms_svc.domain.views import WorkerState
from hms_svc.ports.broker import Broker
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.loop import Service


class Listener(Service):
    """Polls twice a second, with one indexed read for each served type."""

    def __init__(
        self,
        broker: Broker,
        worker_id: str,
        types: tuple[str, ...],
        in_flight: InFlight,
        on_suspects: Callable[[], None],
        on_wanted: Callable[[WorkerState], None],
    ) -> None:
        super().__init__(interval_seconds=0.5)
        self._broker = broker
        self._worker_id = worker_id
        self._types = types
        self._in_flight = in_flight
        self._on_suspects = on_suspects
        self._on_wanted = on_wanted

    async def run_once(self) -> None:
        """Poll once, and act on the requests."""
        signals = await self._broker.signals(self._worker_id, self._types)
        for request in signals.cancel:
            for running in self._in_flight.by_id(request.job_id):
                running.request_cancel(request.by, request.detail)
        if signals.suspects_wait:
            self._on_suspects()
        if signals.wanted is not None:
            self._on_wanted(signals.wanted)
