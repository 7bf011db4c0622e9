"""Metrics of the whole fleet, from broker and database: the same on each HTTP server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import add
from typing import Final, TypeAlias

import msgspec
from prometheus_client.metrics_core import Metric

from hms_svc.domain.health import ENGINE_KINDS, Health, TroubleKind
from hms_svc.domain.views import QueueView, WorkerView
from hms_svc.observability.families import Values, counter, gauge
from hms_svc.observability.type_labels import TypeLabels
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.inspection import BrokerHealth
from hms_svc.ports.meters import Family

Labelled: TypeAlias = Sequence[tuple[str, QueueView]]
PER_TYPE: Final = ("type",)
RUNNING_COUNTERS: Final = {
    "accepted": "Jobs accepted.",
    "claimed": "Claims of jobs.",
    "completed": "Jobs completed.",
    "failed": "Attempts that failed.",
    "retried": "Failed attempts after which the job is retried.",
    "rejected": "Jobs rejected by a validator or by governance.",
    "dead": "Jobs that became dead.",
    "cancelled": "Jobs cancelled.",
    "discarded": "Jobs discarded by an operator.",
}


class FleetOverview(msgspec.Struct, frozen=True, kw_only=True):
    """The data for one rendering, read at `at` (Unix ms). What could not be read is left out.

    `outbox_lag_ms` is the age of the oldest row that is not yet published.
    """

    at: int
    broker: BrokerHealth
    database: DatabaseHealth | None = None
    queues: Sequence[QueueView] = ()
    workers: Sequence[WorkerView] = ()
    outbox_lag_ms: int | None = None
    health: Health | None = None


def families_of(seen: FleetOverview, types: TypeLabels) -> Iterator[Metric]:
    """Yield the metric families of an overview. Types without a label of their own share `other`."""
    yield from _engines(seen)
    yield from _health(seen.health)
    yield from _workers(seen)
    queues = sorted(seen.queues, key=lambda queue: (not queue.served, queue.type))
    labelled = [(types.label(queue.type), queue) for queue in queues]
    yield gauge("hms_jobs", Family("Jobs, by state.", ("type", "state")), _jobs(labelled))
    yield from _per_queue(labelled, seen.at)
    for name, text in RUNNING_COUNTERS.items():
        totals = _merged(((label, queue.counters.get(name, 0)) for label, queue in labelled), add)
        yield counter(f"hms_jobs_{name}_total", Family(text, PER_TYPE), totals)


def _per_queue(labelled: Labelled, at: int) -> Iterator[Metric]:
    text = "Age of the job that has been ready longest, 0 if none is."
    ages = _merged(((label, _age_seconds(queue, at)) for label, queue in labelled), max)
    yield gauge("hms_queue_oldest_age_seconds", Family(text, PER_TYPE), ages)
    text = "1 if the queue is paused."
    paused = _merged(((label, float(queue.paused)) for label, queue in labelled), max)
    yield gauge("hms_queue_paused", Family(text, PER_TYPE), paused)
    text = "1 if a live worker serves the type."
    served = _merged(((label, float(queue.served)) for label, queue in labelled), min)
    yield gauge("hms_queue_served", Family(text, PER_TYPE), served)


def _engines(seen: FleetOverview) -> Iterator[Metric]:
    up = Family("1 if the broker responds.", ("kind",))
    yield gauge("hms_broker_up", up, {(seen.broker.kind,): float(seen.broker.ok)})
    trip: Values = {(): seen.broker.round_trip_ms / 1000} if seen.broker.ok else {}
    text = "Round trip from this HTTP server to the broker."
    yield gauge("hms_broker_round_trip_seconds", Family(text), trip)
    yield from _broker_capacity(seen.broker)
    health = seen.database
    up = Family("1 if the database responds and has a supported schema.", ("kind",))
    yield gauge("hms_database_up", up, {} if health is None else {(health.kind,): float(health.ok)})
    lag: Values = {} if seen.outbox_lag_ms is None else {(): seen.outbox_lag_ms / 1000}
    text = "Age of the oldest committed event or follow-up job that is not yet published."
    yield gauge("hms_outbox_lag_seconds", Family(text), lag)


def _health(health: Health | None) -> Iterator[Metric]:
    text = "1 if the installation has this kind of trouble."
    found: Values = {}
    if health is not None:
        kinds = TroubleKind if health.is_whole else ENGINE_KINDS
        found = {(kind.value,): float(health.has(kind)) for kind in kinds}
    yield gauge("hms_trouble", Family(text, ("kind",)), found)


def _broker_capacity(broker: BrokerHealth) -> Iterator[Metric]:
    capacity = broker.capacity
    for name, text in (
        ("used", "Memory used by Redis, or disk space used by the queue file."),
        ("limit", "Limit at which new jobs are refused: maxmemory, or the size of the disk."),
    ):
        found: Values = {} if capacity is None else {(broker.kind,): getattr(capacity, name)}
        yield gauge(f"hms_broker_{name}_bytes", Family(text, ("kind",)), found)
    text = "Writes of this process refused because the broker was full."
    refused: Values = {(broker.kind,): float(broker.refused)} if broker.ok else {}
    yield counter("hms_broker_refused_total", Family(text, ("kind",)), refused)


def _workers(seen: FleetOverview) -> Iterator[Metric]:
    for name, text, value in (
        ("workers", "Workers in the broker's register.", len(seen.workers)),
        ("slots", "Slots of those workers.", sum(worker.slots for worker in seen.workers)),
        ("busy_slots", "Busy slots of those workers.", sum(worker.busy for worker in seen.workers)),
    ):
        found: Values = {(): value} if seen.broker.ok else {}
        yield gauge(f"hms_fleet_{name}", Family(text), found)


def _jobs(labelled: Labelled) -> Values:
    found: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for label, queue in labelled:
        for state in queue.counts.__struct_fields__:
            found[label, state] += getattr(queue.counts, state)
    return found


def _merged(valued: Iterable[tuple[str, float]], merge: Callable[[float, float], float]) -> Values:
    found: dict[tuple[str, ...], float] = {}
    for label, value in valued:
        found[label,] = merge(found[label,], value) if (label,) in found else value
    return found


def _age_seconds(queue: QueueView, at: int) -> float:
    return 0.0 if queue.oldest_queued_at is None else max(0, at - queue.oldest_queued_at) / 1000
