"""Counts HTTP requests by route template, method and status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.metrics_core import Metric

from hms_svc.observability.families import counter, histogram
from hms_svc.ports.meters import OTHER, Family, HistogramFamily, Tally

MOST_ROUTES: Final = 200
METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_REQUESTS: Final = Family("HTTP requests answered.", ("route", "method", "status"))
_DURATIONS: Final = HistogramFamily(
    "Time from a request's first byte to the last byte of its response.",
    ("route", "method"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)


class HttpMeter:
    """Counts the requests of one HTTP server; requests without an existing route are `other`."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, ...], float] = {}
        self._durations: dict[tuple[str, ...], Tally] = {}
        self._routes: set[str] = set()

    def observe(self, route_template: str, method: str, status: int, seconds: float) -> None:
        """Count one response. The template is as declared (`/jobs/{id}`), empty if none matched."""
        route = self._route(route_template)
        method = method if method in METHODS else OTHER
        code = str(status) if 100 <= status <= 599 else OTHER
        labels = (route, method, code)
        self._requests[labels] = self._requests.get(labels, 0.0) + 1
        tally = self._durations.get((route, method))
        if tally is None:
            tally = self._durations[route, method] = Tally(_DURATIONS.bounds)
        tally.add(seconds)

    def expect(self, route_template: str, method: str, statuses: Iterable[int]) -> None:
        """Export a route's responses with these statuses as 0 until there is one."""
        route = self._route(route_template)
        for status in statuses:
            self._requests.setdefault((route, method, str(status)), 0.0)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        yield counter("hms_http_requests_total", _REQUESTS, self._requests)
        yield histogram("hms_http_request_duration_seconds", _DURATIONS, self._durations)

    def _route(self, template: str) -> str:
        if template not in self._routes:
            if not template or len(self._routes) >= MOST_ROUTES:
                return OTHER
            self._routes.add(template)
        return template
