"""The totals of the reports of the workers of one `serve`, and the time of each worker's last report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec
from prometheus_client.metrics_core import Metric

from hms_svc.domain.job import Lane
from hms_svc.observability.families import counter, gauge, histogram
from hms_svc.observability.type_labels import TypeLabels
from hms_svc.ports.clock import Clock
from hms_svc.ports.meters import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    LABELS,
    Family,
    Tally,
    WorkerReport,
)

SILENT_MS: Final = 10_000
"""After this time without a report the gauges of a worker no longer count."""
FORGOTTEN_MS: Final = 15 * 60_000
FAREWELL_MS: Final = 60_000
_FATES: Final = (("taken",), ("malformed",), ("missed",))
_REPORTS: Final = Family("Reports of workers, by how they were processed.", ("fate",))
Series: TypeAlias = tuple[str, tuple[str, ...]]
_UNLABELLED: Final[tuple[Series, ...]] = tuple(
    (name, ()) for name, labels in LABELS.items() if not labels
)
_decode: Final = msgspec.msgpack.Decoder(WorkerReport).decode


class WorkerLiveness(msgspec.Struct, frozen=True, kw_only=True):
    """The liveness of one worker.

    `iteration_seconds`: how long its claim loop had taken when it last reported. `is_lane`: it
    claims only suspects. `is_hung`: functions that still run after their job was
    settled hold all
    of its slots.
    """

    worker: str
    pid: int
    silent_seconds: float
    iteration_seconds: float
    has_announced_end: bool
    is_hung: bool = False
    is_lane: bool = False


class _Reported(msgspec.Struct):
    """The last report of a worker, and when it was received."""

    report: WorkerReport
    at: int


class WorkerTotals:
    """Adds up reports. Counters stay when a worker ends; its gauges are removed.

    `series` (a metric's name and label values) start at 0: if a series begins with its first
    event, a monitor does not see an increase.
    """

    def __init__(self, clock: Clock, types: TypeLabels, series: Iterable[Series] = ()) -> None:
        self._clock = clock
        self._types = types
        self._counters: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in COUNTERS}
        self._tallies: dict[str, dict[tuple[str, ...], Tally]] = {name: {} for name in HISTOGRAMS}
        for name, labels in (*_UNLABELLED, *series):
            self._begin(name, labels)
        self._reports: dict[str, _Reported] = {}
        self._fates: dict[tuple[str, ...], float] = dict.fromkeys(_FATES, 0.0)

    def take(self, message: bytes) -> None:
        """Add one message of a worker; malformed messages and repetitions are dropped."""
        try:
            report = _decode(message)
            self._check(report)
        except (msgspec.MsgspecError, KeyError, ValueError):
            self._fates["malformed",] += 1
            return
        before = self._reports.get(report.worker)
        expected = 1 if before is None else before.report.sequence + 1
        if report.sequence < expected:
            return
        if before is not None:
            self._fates["missed",] += report.sequence - expected
        self._fates["taken",] += 1
        self._reports[report.worker] = _Reported(report, self._clock.lease_ms())
        self._add(report)

    def liveness(self) -> list[WorkerLiveness]:
        """Return the workers' liveness, for a minute after a goodbye or 15 minutes after the last report."""
        now = self._clock.lease_ms()
        for worker, reported in list(self._reports.items()):
            kept_ms = FAREWELL_MS if reported.report.goodbye else FORGOTTEN_MS
            if now - reported.at > kept_ms:
                del self._reports[worker]
        return [
            WorkerLiveness(
                worker=worker,
                pid=reported.report.pid,
                silent_seconds=(now - reported.at) / 1000,
                iteration_seconds=reported.report.iteration_seconds,
                has_announced_end=reported.report.goodbye,
                is_hung=_is_hung(reported.report),
                is_lane=reported.report.lane is Lane.SUSPECT,
            )
            for worker, reported in sorted(self._reports.items())
        ]

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families, including those without counts."""
        for name, family in COUNTERS.items():
            yield counter(name, family, self._counters[name])
        for name, shape in HISTOGRAMS.items():
            yield histogram(name, shape, self._tallies[name])
        reporting = {live.worker for live in self.liveness() if _is_reporting(live)}
        for name, family in GAUGES.items():
            values = (self._reports[worker].report.gauges.get(name, 0.0) for worker in reporting)
            yield gauge(name, family, {(): sum(values)})
        alive = Family("Workers that have reported to this process within ten seconds.")
        yield gauge("hms_worker_processes", alive, {(): len(reporting)})
        iteration = Family("The longest current iteration of a claim loop of those workers.")
        longest = max(
            (live.iteration_seconds for live in self.liveness() if _is_reporting(live)), default=0
        )
        yield gauge("hms_worker_turning_seconds", iteration, {(): longest})
        yield counter("hms_worker_reports_total", _REPORTS, self._fates)

    def _check(self, report: WorkerReport) -> None:
        """Raise KeyError or ValueError if a name or a shape is unknown."""
        for delta in report.counters:
            _match(len(COUNTERS[delta.name].labels), len(delta.labels))
        for grown in report.histograms:
            shape = HISTOGRAMS[grown.name]
            _match(len(shape.labels), len(grown.labels))
            _match(len(shape.bounds) + 1, len(grown.counts))

    def _begin(self, name: str, labels: tuple[str, ...]) -> None:
        if name in COUNTERS:
            self._counters[name].setdefault(self._labels(name, labels), 0.0)
        else:
            self._tally(name, labels)

    def _add(self, report: WorkerReport) -> None:
        for delta in report.counters:
            labels = self._labels(delta.name, delta.labels)
            values = self._counters[delta.name]
            values[labels] = values.get(labels, 0.0) + delta.grown
        for grown in report.histograms:
            self._tally(grown.name, grown.labels).take(grown)

    def _tally(self, name: str, labels: tuple[str, ...]) -> Tally:
        tally = Tally(HISTOGRAMS[name].bounds)
        return self._tallies[name].setdefault(self._labels(name, labels), tally)

    def _labels(self, name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
        if LABELS[name][:1] != ("type",):
            return labels
        return (self._types.label(labels[0]), *labels[1:])


def _match(wanted: int, found: int) -> None:
    if wanted != found:
        raise ValueError(f"{found} values, expected {wanted}")


def _is_hung(report: WorkerReport) -> bool:
    hung = report.gauges.get("hms_worker_hung_slots", 0.0)
    return 0 < report.gauges.get("hms_worker_slots", 0.0) <= hung


def _is_reporting(live: WorkerLiveness) -> bool:
    return not live.has_announced_end and live.silent_seconds * 1000 < SILENT_MS
