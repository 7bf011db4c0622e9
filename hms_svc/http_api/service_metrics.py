"""The metrics of this HTTP server and of the workers beside it, and whether those still run."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from hms_svc.domain.errors import Outage
from hms_svc.observability.metrics import Metrics
from hms_svc.observability.overview import FleetOverview
from hms_svc.observability.worker_totals import WorkerLiveness
from hms_svc.operations.reads import Reads
from hms_svc.ports.clock import Clock
from hms_svc.ports.meters import MAX_REPORT_BYTES
from hms_svc.sdk.label_values import LabelValues
from hms_svc.sdk.registry import Registry

log: Final = logging.getLogger("hms_svc.http")
STUCK_SECONDS: Final = 30.0
LEAST_SILENCE_SECONDS: Final = 3.0
CHECK_SECONDS: Final = 2.5
LEAST_SECONDS: Final = 0.25


class ServiceMetrics:
    """Receives the reports of workers on a socket that the supervisor made, and renders them."""

    def __init__(self, clock: Clock, registry: Registry) -> None:
        self._metrics = Metrics(clock, LabelValues(registry).series())
        self._clock = clock
        self._listens_since: int | None = None

    def listen(self, reports: socket.socket) -> None:
        """Receive reports of workers from now on."""
        reports.setblocking(False)
        self._listens_since = self._clock.lease_ms()
        asyncio.get_running_loop().add_reader(reports.fileno(), self._read_news, reports)

    def expect(self, route: str, method: str, statuses: Iterable[int]) -> None:
        """Start the counters of a route's answers with these statuses at 0."""
        self._metrics.http.expect(route, method, statuses)

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer; the template of its route is empty if none matched."""
        self._metrics.http.observe(route, method, status, seconds)

    def is_alive(self) -> bool:
        """Return whether the claim loop of each worker beside this HTTP server has run recently.

        A worker is stuck if its process is alive, but has not run its loop or reported for 30 s, or if its
        slots are all occupied by functions that do not return. No worker does not count as stuck.
        """
        return not any(
            _is_stuck(each) for each in self._metrics.liveness() if not each.has_announced_end
        )

    def lacks_workers(self, seconds: float) -> bool:
        """Return whether no worker has been live for so long, not counting those of the suspect lane.

        At least three seconds: workers report once a second.
        """
        if self._listens_since is None:
            return False
        silences = [each.silent_seconds for each in self._metrics.liveness() if not each.is_lane]
        silences.append((self._clock.lease_ms() - self._listens_since) / 1000)
        return min(silences) >= max(seconds, LEAST_SILENCE_SECONDS)

    async def render(self, reads: Reads, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text for Prometheus, and its media type."""
        return self._metrics.render(await _read_overview(reads), accept)

    def _read_news(self, reports: socket.socket) -> None:
        try:
            while True:
                self._metrics.take(reports.recv(2 * MAX_REPORT_BYTES))
        except BlockingIOError:
            return


async def _read_overview(reads: Reads) -> FleetOverview:
    """Read broker and database within CHECK_SECONDS; an engine that does not answer in time is not well."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + CHECK_SECONDS
    try:
        async with asyncio.timeout_at(ends):
            seen = await reads.status()
    except (Outage, TimeoutError):
        left = max(ends - loop.time(), LEAST_SECONDS)
        broker, database = await reads.health(probe_seconds=left)
        health = reads.judge_engines(broker, database)
        return FleetOverview(at=health.at, broker=broker, database=database, health=health)
    lag = None
    if seen.database is not None and seen.database.ok:
        with suppress(Outage, TimeoutError):
            async with asyncio.timeout_at(ends):
                lag = await reads.database.outbox.lag_ms()
    return FleetOverview(
        at=seen.at,
        broker=seen.broker,
        database=seen.database,
        queues=seen.queues,
        workers=seen.workers,
        outbox_lag_ms=lag,
        health=seen.health,
    )


def _is_stuck(worker: WorkerLiveness) -> bool:
    quiet = max(worker.silent_seconds, worker.iteration_seconds)
    if quiet < STUCK_SECONDS and not worker.is_hung:
        return False
    try:
        os.kill(worker.pid, 0)
    except OSError:
        return False
    return True
