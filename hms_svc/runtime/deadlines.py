"""One coarse timer for the deadlines of all running jobs."""

from __future__ import annotations

from hms_svc.ports.clock import Clock
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.loop import Service
from hms_svc.runtime.runs import Runs


class Deadlines(Service):
    """Times out every job that has run longer than its timeout."""

    def __init__(
        self, in_flight: InFlight, runs: Runs, clock: Clock, *, timeout_seconds: float
    ) -> None:
        super().__init__(interval_seconds=0.25)
        self._in_flight = in_flight
        self._runs = runs
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    async def run_once(self) -> None:
        """Check every deadline, and how long claimed jobs have waited for a slot."""
        self._runs.release_waiting(overdue_only=True)
        now = self._clock.lease_ms()
        for running in self._in_flight.all():
            if running.job.expires_ms <= now and not running.job.timed_out:
                seconds = running.declared.timeout_seconds or self._timeout_seconds
                self._runs.time_out(running, seconds)
