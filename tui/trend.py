"""Rates and durations from successive snapshots. Pure: the time is always an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from hms_svc.domain.percentile import percentile
from hms_svc.domain.views import QueueView

WINDOW_MS: Final = 10_000
BARS: Final = 60
BAR_MS: Final = 1000
SAMPLES: Final = 200
ENDED: Final = ("completed", "rejected", "dead")
"""The states that count as completed work: a job that an operator cancelled does not."""


class QueueTrend(msgspec.Struct, frozen=True, kw_only=True):
    """The trend of a queue. Rates are jobs per second over the last ten seconds, None if unknown.

    `ended` has the number of jobs that ended in each of the last sixty seconds, `failed_share` is the
    share of failed attempts in the window; `drain_ms` is an estimate.
    """

    arrivals: float | None = None
    departures: float | None = None
    failed_share: float | None = None
    drain_ms: int | None = None
    ended: tuple[int, ...] = ()


class QueueSample(msgspec.Struct, frozen=True):
    """The counters of a queue at a time (Unix ms)."""

    at: int
    arrivals: int
    departures: int
    failed: int
    claimed: int


class Trends:
    """Remembers the counters of each queue for a minute; bounded by the number of queues."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[QueueSample]] = {}
        self._bars: dict[str, deque[tuple[int, int]]] = {}

    def take(self, at: int, queues: Iterable[QueueView]) -> dict[str, QueueTrend]:
        """Add the counters at a time (Unix ms), and return the trend of each queue."""
        found = {queue.type: self._trend(at, queue) for queue in queues}
        for removed in self._samples.keys() - found.keys():
            del self._samples[removed], self._bars[removed]
        return found

    def _trend(self, at: int, queue: QueueView) -> QueueTrend:
        samples = self._samples.setdefault(queue.type, deque(maxlen=BARS))
        now = sample_of(at, queue)
        before = samples[-1] if samples else now
        if (
            now.departures < before.departures or now.arrivals < before.arrivals
        ):  # the counters were deleted
            samples.clear()
            before = now
        samples.append(now)
        bars = self._bars.setdefault(queue.type, deque(maxlen=BARS))
        _add_bar(bars, at, now.departures - before.departures)
        return _trend_of(samples, queue.counts.queued, _bars_until(bars, at))


def sample_of(at: int, queue: QueueView) -> QueueSample:
    """Return the counters that rates are computed from."""
    counters = queue.counters
    return QueueSample(
        at,
        counters.get("accepted", 0),
        sum(counters.get(name, 0) for name in ENDED),
        counters.get("failed", 0),
        counters.get("claimed", 0),
    )


def _trend_of(samples: Sequence[QueueSample], ready: int, ended: tuple[int, ...]) -> QueueTrend:
    newest = samples[-1]
    oldest = next(sample for sample in samples if newest.at - sample.at <= WINDOW_MS)
    seconds = (newest.at - oldest.at) / 1000
    if seconds <= 0:
        return QueueTrend(ended=ended)
    arrivals, departures = (
        (newest.arrivals - oldest.arrivals) / seconds,
        (newest.departures - oldest.departures) / seconds,
    )
    claimed = newest.claimed - oldest.claimed
    net = departures - arrivals
    return QueueTrend(
        arrivals=arrivals,
        departures=departures,
        failed_share=min(1.0, (newest.failed - oldest.failed) / claimed) if claimed > 0 else None,
        drain_ms=int(ready / net * 1000) if ready and net > 0 else None,
        ended=ended,
    )


def _add_bar(bars: deque[tuple[int, int]], at: int, ended: int) -> None:
    slot = at // BAR_MS
    if bars and bars[-1][0] == slot:
        bars[-1] = (slot, bars[-1][1] + ended)
    else:
        bars.append((slot, ended))


def _bars_until(bars: Iterable[tuple[int, int]], at: int) -> tuple[int, ...]:
    counted = dict(bars)
    last = at // BAR_MS
    return tuple(counted.get(slot, 0) for slot in range(last - BARS + 1, last + 1))


class Durations:
    """The newest durations of each type, for their 95th percentile."""

    def __init__(self) -> None:
        self._known: dict[str, deque[int]] = {}

    def add(self, type: str, milliseconds: int) -> None:
        """Add the duration of one attempt."""
        self._known.setdefault(type, deque(maxlen=SAMPLES)).append(milliseconds)

    def p95(self) -> dict[str, int]:
        """Return the 95th percentile of each type (ms)."""
        return {type: percentile(list(known), 0.95) for type, known in self._known.items()}

    def p95_of_all(self) -> int | None:
        """Return the 95th percentile over all types (ms), None if there are no durations."""
        every = [each for known in self._known.values() for each in known]
        return percentile(every, 0.95) if every else None


def total_rates(trends: Mapping[str, QueueTrend]) -> float | None:
    """Return the finished jobs per second of all queues, None if it is not known yet."""
    known = [trend.departures for trend in trends.values() if trend.departures is not None]
    return sum(known) if known else None
