"""Converts plain numbers to metric families of the Prometheus client."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from hms_svc.ports.meters import Family, HistogramFamily, Tally

Values = Mapping[tuple[str, ...], float]


def counter(name: str, family: Family, values: Values) -> CounterMetricFamily:
    """Return a counter with a value for each tuple of labels."""
    result = CounterMetricFamily(name, family.help, labels=family.labels)
    for labels, value in values.items():
        result.add_metric(labels, value)
    return result


def gauge(name: str, family: Family, values: Values) -> GaugeMetricFamily:
    """Return a gauge with a value for each tuple of labels."""
    result = GaugeMetricFamily(name, family.help, labels=family.labels)
    for labels, value in values.items():
        result.add_metric(labels, value)
    return result


def histogram(
    name: str, family: HistogramFamily, tallies: Mapping[tuple[str, ...], Tally]
) -> HistogramMetricFamily:
    """Return a histogram with a tally for each tuple of labels."""
    result = HistogramMetricFamily(name, family.help, labels=family.labels)
    for labels, tally in tallies.items():
        below, buckets = 0, []
        for bound, count in zip((*family.bounds, float("inf")), tally.counts, strict=True):
            below += count
            buckets.append((_bound_text(bound), below))
        result.add_metric(labels, buckets, tally.total)
    return result


def _bound_text(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(float(bound))
