"""Stops a worker that was started for a limited task once it has nothing to do."""

from __future__ import annotations

from collections.abc import Callable

from hms_svc.runtime.claimer import Claimer
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.loop import Service


class IdleExit(Service):
    """Stops a worker that has claimed no job and had none running for a while."""

    def __init__(
        self, in_flight: InFlight, claimer: Claimer, on_idle: Callable[[], None], *, seconds: float
    ) -> None:
        super().__init__(interval_seconds=seconds)
        self._in_flight = in_flight
        self._claimer = claimer
        self._on_idle = on_idle
        self._claimed_before = -1

    async def run_once(self) -> None:
        """Compare with the previous round."""
        if self._in_flight.unsettled() == 0 and self._claimer.claimed_total == self._claimed_before:
            self._on_idle()
        self._claimed_before = self._claimer.claimed_total
