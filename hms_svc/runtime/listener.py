"""Polls for requests to a worker: cancel requests, waiting suspects, and the state it should have."""

from __future__ import annotations

from collections.abc import Callable

from hms_svc.domain.views import WorkerState
from hms_svc.ports.broker import Broker, CancelRequest
from hms_svc.runtime.claimer import Claimer
from hms_svc.runtime.in_flight import InFlight, Running
from hms_svc.runtime.loop import Service


class Listener(Service):
    """Polls twice a second, with one indexed read for each served type."""

    def __init__(
        self,
        broker: Broker,
        worker_id: str,
        types: tuple[str, ...],
        in_flight: InFlight,
        claimer: Claimer,
        on_suspects: Callable[[], None],
        on_wanted: Callable[[WorkerState], None],
    ) -> None:
        super().__init__(interval_seconds=0.5)
        self._broker = broker
        self._worker_id = worker_id
        self._types = types
        self._in_flight = in_flight
        self._claimer = claimer
        self._on_suspects = on_suspects
        self._on_wanted = on_wanted

    async def run_once(self) -> None:
        """Poll once, and act on the requests."""
        signals = await self._broker.signals(self._worker_id, self._types)
        for request in signals.cancel:
            for running in self._in_flight.by_id(request.job_id):
                _cancel(running, request)
        if signals.suspects_wait:
            self._claimer.suspects_wait = True
            self._on_suspects()
        if signals.wanted is not None:
            self._on_wanted(signals.wanted)


def _cancel(running: Running, request: CancelRequest) -> None:
    """Cancel a running job, unless it has committed effects: then it runs to its end."""
    if not running.job.cancel_by:
        running.job.cancel_by = request.by
        running.job.cancel_detail = request.detail
        if not running.job.effects:
            running.interrupt()
