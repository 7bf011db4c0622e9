"""Collects progress and log lines of running jobs, and writes them a few times a second."""

from __future__ import annotations

import threading
from typing import Final

from hms_svc.ports.broker import Broker, ProgressReport
from hms_svc.ports.clock import Clock
from hms_svc.runtime.loop import Service
from hms_svc.sdk.running_job import RunningJob
from hms_svc.sdk.storable_text import writable

MOST_WAITING: Final = 2000


class ProgressWriter(Service):
    """Accepts reports from any thread. If more than 2,000 wait, the oldest are dropped."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        super().__init__(interval_seconds=0.2)
        self._broker = broker
        self._clock = clock
        self._waiting: list[ProgressReport] = []
        self._lock = threading.Lock()

    def report(self, job: RunningJob, share: float | None, message: str, log: bool) -> None:
        """Add one report."""
        now = self._clock.now_ms()
        line = ProgressReport(job.claimed.token, now, share, writable(message), log)
        with self._lock:
            self._waiting.append(line)
            del self._waiting[:-MOST_WAITING]

    async def run_once(self) -> None:
        """Write the collected reports."""
        with self._lock:
            batch, self._waiting = self._waiting, []
        if batch:
            await self._broker.record_progress(batch)
