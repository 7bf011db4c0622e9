"""Sends the changes of this worker's metrics to the process that renders them, once a second."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from hms_svc.ports.meters import (
    MAX_REPORT_BYTES,
    CounterDelta,
    Delta,
    HistogramDelta,
    Tally,
    WorkerReport,
)
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.loop import Service
from hms_svc.runtime.worker_meter import WorkerMeter
from hms_svc.runtime.worker_options import WorkerOptions

REPORT_SECONDS: Final = 1.0
SAMPLE_SECONDS: Final = 0.25
_encode: Final = msgspec.msgpack.Encoder().encode
_Series = tuple[str, tuple[str, ...]]


class Reporter(Service):
    """Sends the growth since the last message that was sent; what could not be sent is sent again.

    `send` never blocks, and returns False if it could not send. The reporter also samples the
    lag of the event loop.
    """

    def __init__(
        self,
        meter: WorkerMeter,
        options: WorkerOptions,
        in_flight: InFlight,
        send: Callable[[bytes], bool],
    ) -> None:
        super().__init__(interval_seconds=REPORT_SECONDS)
        self.meter = meter
        self._options = options
        self._in_flight = in_flight
        self._send = send
        self._sequence = 0
        self._counters_sent: dict[_Series, int] = {}
        self._histograms_sent: dict[_Series, Tally] = {}
        self._sampling: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Report until stopped, and sample the lag."""
        self._sample_at(asyncio.get_running_loop().time() + SAMPLE_SECONDS)
        try:
            await super().run()
        finally:
            if self._sampling is not None:
                self._sampling.cancel()

    async def run_once(self) -> None:
        """Report once."""
        self._send_report(list(self._deltas()), goodbye=False)

    def announce_end(self) -> None:
        """Report for the last time."""
        self._send_report(list(self._deltas()), goodbye=True)

    def _sample_at(self, moment: float) -> None:
        loop = asyncio.get_running_loop()

        def sample() -> None:
            now = loop.time()
            self.meter.loop_lag.add(now - moment)
            self._sample_at(now + SAMPLE_SECONDS)

        self._sampling = loop.call_at(moment, sample)

    def _deltas(self) -> Iterator[Delta]:
        for name, labels, value in self.meter.counters():
            grown = value - self._counters_sent.get((name, labels), 0)
            if grown:
                yield CounterDelta(name, labels, grown)
        for name, labels, tally in self.meter.histograms():
            sent = self._histograms_sent.setdefault((name, labels), Tally(tally.bounds))
            if tally.counts != sent.counts:
                pairs = zip(tally.counts, sent.counts, strict=True)
                counts = tuple(now - before for now, before in pairs)
                yield HistogramDelta(name, labels, counts, tally.total - sent.total)

    def _send_report(self, deltas: Sequence[Delta], *, goodbye: bool) -> None:
        message = _encode(self._report(deltas, goodbye=goodbye))
        if len(message) > MAX_REPORT_BYTES and len(deltas) > 1:
            by_type = sorted(deltas, key=lambda delta: delta.labels)
            middle = len(by_type) // 2
            self._send_report(by_type[:middle], goodbye=False)
            self._send_report(by_type[middle:], goodbye=goodbye)
        elif self._send(message):
            self._sequence += 1
            self._note(deltas)

    def _report(self, deltas: Sequence[Delta], *, goodbye: bool) -> WorkerReport:
        return WorkerReport(
            worker=self._options.worker_id,
            sequence=self._sequence + 1,
            pid=os.getpid(),
            counters=tuple(delta for delta in deltas if isinstance(delta, CounterDelta)),
            histograms=tuple(delta for delta in deltas if isinstance(delta, HistogramDelta)),
            gauges={
                "hms_worker_slots": self._options.slots,
                "hms_worker_busy_slots": len(self._in_flight),
                "hms_worker_hung_slots": len(self._in_flight.hung()),
            },
            iteration_seconds=self.meter.iteration_seconds(),
            lane=self._options.lane,
            goodbye=goodbye,
        )

    def _note(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            series = (delta.name, delta.labels)
            if isinstance(delta, CounterDelta):
                sent = self._counters_sent.get(series, 0)
                self._counters_sent[series] = sent + delta.grown
            else:
                self._histograms_sent[series].take(delta)
