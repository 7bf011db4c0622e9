"""The metrics of one HTTP server: its workers' reports, the state of the fleet, and its own requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from hms_svc.observability.http_meter import HttpMeter
from hms_svc.observability.overview import FleetOverview, families_of
from hms_svc.observability.type_labels import MOST_TYPES, TypeLabels
from hms_svc.observability.worker_totals import Series, WorkerLiveness, WorkerTotals
from hms_svc.ports.clock import Clock


class Metrics:
    """Takes the reports of workers, and renders all metrics as Prometheus or OpenMetrics text.

    `http` counts this process's own requests. The `series` of workers (a metric's name and label
    values) are 0 until they are reported.
    """

    def __init__(
        self, clock: Clock, series: Iterable[Series] = (), *, most_types: int = MOST_TYPES
    ) -> None:
        self.http = HttpMeter()
        self._types = TypeLabels(most_types)
        self._workers = WorkerTotals(clock, self._types, series)
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)

    def take(self, message: bytes) -> None:
        """Add one message of a worker; never raises: an invalid report is counted as malformed."""
        self._workers.take(message)

    def liveness(self) -> list[WorkerLiveness]:
        """Return the liveness of each worker that has reported here, sorted by id."""
        return self._workers.liveness()

    def render(self, seen: FleetOverview, accept: str = "") -> tuple[bytes, str]:
        """Return the text and its content type, by the Accept header."""
        encode, content_type = choose_encoder(accept)
        return encode(_Rendering(seen, self)), content_type

    def families(self, seen: FleetOverview) -> Iterator[Metric]:
        """Yield all metric families."""
        yield from families_of(seen, self._types)
        yield from self._workers.collect()
        yield from self.http.collect()
        yield from self._process.collect()


class _Rendering:
    """A collector of one overview, for the encoders of the Prometheus client."""

    def __init__(self, seen: FleetOverview, metrics: Metrics) -> None:
        self._seen = seen
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families(self._seen)
