"""What an HTTP server renders: workers' reports, the fleet, requests."""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from hms_svc.domain.views import QueueCounts, QueueView, WorkerView
from hms_svc.observability.metrics import Metrics
from hms_svc.observability.overview import FleetOverview
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.inspection import BrokerHealth
from hms_svc.ports.meters import HISTOGRAMS, OUTCOMES, CounterDelta, HistogramDelta, WorkerReport
from hms_svc.sdk.label_values import LabelValues
from hms_svc.sdk.registry import Registry

NOON = 1_800_000_000_000
UP = BrokerHealth("redis", ok=True, round_trip_ms=1.5)


class HandClock:
    def __init__(self) -> None:
        self.now = 0

    def now_ms(self) -> int:
        return NOON + self.now

    def lease_ms(self) -> int:
        return self.now


def queue(type: str, **changed: Any) -> QueueView:
    fields: dict[str, Any] = {
        "type": type,
        "counts": QueueCounts(),
        "counters": {},
        "oldest_queued_at": None,
        "next_due_at": None,
        "paused": False,
        "paused_by": "",
        "pause_reason": "",
        "served": True,
    }
    return QueueView(**{**fields, **changed})


def worker(id: str, **changed: Any) -> WorkerView:
    fields: dict[str, Any] = {
        "id": id,
        "host": "h",
        "pid": 1,
        "slots": 4,
        "busy": 1,
        "jobs": (),
        "types": (),
        "started_at": NOON,
        "last_seen_at": NOON,
        "lane": "normal",
    }
    return WorkerView(**{**fields, **changed})


def validator(_data: object) -> bool:
    return True


def seen(**changed: Any) -> FleetOverview:
    return FleetOverview(**{"at": NOON, "broker": UP, **changed})


def samples(metrics: Metrics, overview: FleetOverview | None = None) -> dict[str, float]:
    """Render and read back: each sample by its name and label values."""
    text, _ = metrics.render(overview or seen())
    return {
        " ".join((each.name, *(each.labels[name] for name in sorted(each.labels)))): each.value
        for family in text_string_to_metric_families(text.decode())
        for each in family.samples
    }


def report(sequence: int = 1, worker: str = "w-1", **changed: Any) -> bytes:
    return msgspec.msgpack.encode(WorkerReport(worker=worker, sequence=sequence, pid=1, **changed))


def completed(count: int, type: str = "a.b") -> tuple[CounterDelta, ...]:
    return (CounterDelta("hms_worker_attempts_total", (type, "completed"), count),)


def test_reports_add_up_over_workers_and_their_successors() -> None:
    metrics = Metrics(HandClock())
    bounds = HISTOGRAMS["hms_worker_wait_seconds"].bounds
    counts = (1, 2, *(0 for _ in bounds[1:]))
    wait = HistogramDelta("hms_worker_wait_seconds", ("a.b",), counts, 0.02)
    metrics.take(
        report(1, counters=completed(2), histograms=(wait,), gauges={"hms_worker_slots": 4})
    )
    metrics.take(report(2, counters=completed(1), gauges={"hms_worker_slots": 4}, goodbye=True))
    metrics.take(report(1, "w-2", counters=completed(4), gauges={"hms_worker_slots": 8}))
    found = samples(metrics)
    assert found["hms_worker_attempts_total completed a.b"] == 7
    assert found["hms_worker_wait_seconds_bucket 0.005 a.b"] == 1
    assert found["hms_worker_wait_seconds_bucket 0.01 a.b"] == 3
    assert found["hms_worker_wait_seconds_count a.b"] == 3
    assert (found["hms_worker_slots"], found["hms_worker_processes"]) == (8, 1)


def test_a_series_that_can_come_stands_at_0_before_it_does() -> None:
    registry = Registry()
    registry.job("a.b", validators=[validator], action="act")(lambda: None)
    bare, metrics = Metrics(HandClock()), Metrics(HandClock(), LabelValues(registry).series())
    for name in (
        "hms_worker_leases_lost_total",
        "hms_worker_settlements_refused_total",
        "hms_worker_claims_total",
        "hms_worker_loop_lag_seconds_count",
    ):
        assert samples(bare)[name] == 0
    found = samples(metrics)
    for name in (
        *(f"hms_worker_attempts_total {outcome} a.b" for outcome in OUTCOMES),
        "hms_worker_attempts_total dead other",
        "hms_worker_refusals_total a.b validator",
        "hms_worker_refusals_total a.b payload",
        "hms_worker_vets_total act deny",
        "hms_worker_claimed_jobs_total a.b",
        "hms_worker_wait_seconds_count a.b",
        "hms_worker_broker_round_trip_seconds_count settle",
    ):
        assert found[name] == 0
    metrics.take(report(counters=completed(2)))
    grown = samples(metrics)
    assert grown["hms_worker_attempts_total completed a.b"] == 2
    assert grown.keys() == found.keys()


def test_answers_that_a_route_can_give_stand_at_0_before_it_does() -> None:
    metrics = Metrics(HandClock())
    metrics.http.expect("/jobs", "POST", [202, 503])
    metrics.http.observe("/jobs", "POST", 202, 0.02)
    metrics.http.expect("/jobs", "POST", [202, 503])
    found = samples(metrics)
    assert found["hms_http_requests_total POST /jobs 202"] == 1
    assert found["hms_http_requests_total POST /jobs 503"] == 0


def test_what_is_no_report_is_counted_and_nothing_else() -> None:
    metrics = Metrics(HandClock())
    before = samples(metrics)
    unknown = CounterDelta("hms_made_up_total", (), 1)
    short = CounterDelta("hms_worker_attempts_total", ("a.b",), 1)
    crooked = HistogramDelta("hms_worker_wait_seconds", ("a.b",), (1, 2), 1.0)
    for message in (
        b"",
        b"\xff\x00",
        msgspec.msgpack.encode({"worker": 1}),
        report(counters=(unknown,)),
        report(counters=(short,)),
        report(histograms=(crooked,)),
    ):
        metrics.take(message)
    after = samples(metrics)
    assert after.pop("hms_worker_reports_total malformed") == 6
    assert {
        name for name in after if name.startswith("hms") and after[name] != before[name]
    } == set()
    assert metrics.liveness() == []


def test_a_repeated_report_counts_once_and_a_missing_one_is_told() -> None:
    metrics = Metrics(HandClock())
    for sequence in (1, 2, 2, 5):
        metrics.take(report(sequence, counters=completed(1)))
    found = samples(metrics)
    assert found["hms_worker_attempts_total completed a.b"] == 3
    assert found["hms_worker_reports_total missed"] == 2


def test_liveness_tells_silence_and_farewell_and_forgets() -> None:
    clock = HandClock()
    metrics = Metrics(clock)
    metrics.take(report(1, "w-1", iteration_seconds=7.5))
    metrics.take(report(1, "w-2", goodbye=True))
    clock.now += 20_000
    first, second = metrics.liveness()
    assert (first.worker, first.silent_seconds, first.iteration_seconds) == ("w-1", 20, 7.5)
    assert (first.has_announced_end, second.has_announced_end) == (False, True)
    assert samples(metrics)["hms_worker_processes"] == 0
    clock.now += 60_000
    assert [live.worker for live in metrics.liveness()] == ["w-1"]
    clock.now += 15 * 60_000
    assert metrics.liveness() == []


def test_the_fleet_is_told_by_type() -> None:
    counts = QueueCounts(queued=3, dead=1)
    waiting = queue(
        "a.b",
        counts=counts,
        counters={"accepted": 9},
        oldest_queued_at=NOON - 2_500,
        paused=True,
        served=False,
    )
    found = samples(
        Metrics(HandClock()),
        seen(
            queues=[waiting],
            workers=[worker("w-1"), worker("w-2", busy=2)],
            database=DatabaseHealth("sqlite", ok=False),
            outbox_lag_ms=1_250,
        ),
    )
    assert (found["hms_jobs queued a.b"], found["hms_jobs dead a.b"]) == (3, 1)
    assert found["hms_queue_oldest_age_seconds a.b"] == 2.5
    assert (found["hms_queue_paused a.b"], found["hms_queue_served a.b"]) == (1, 0)
    assert found["hms_jobs_accepted_total a.b"] == 9
    assert (found["hms_fleet_workers"], found["hms_fleet_busy_slots"]) == (2, 3)
    assert (found["hms_broker_up redis"], found["hms_database_up sqlite"]) == (1, 0)
    assert (found["hms_broker_round_trip_seconds"], found["hms_outbox_lag_seconds"]) == (
        0.0015,
        1.25,
    )


def test_without_the_broker_nothing_is_said_of_the_fleet() -> None:
    down = BrokerHealth("redis", ok=False, round_trip_ms=0.0)
    found = samples(Metrics(HandClock()), seen(broker=down))
    assert found["hms_broker_up redis"] == 0
    assert not any(name.startswith(("hms_fleet", "hms_broker_round")) for name in found)


def test_types_beyond_the_cap_share_a_label_and_the_served_ones_come_first() -> None:
    metrics = Metrics(HandClock(), most_types=2)
    one = QueueCounts(queued=1)
    queues = [queue(f"bogus-{number}", counts=one, served=False) for number in range(5)]
    found = samples(metrics, seen(queues=[*queues, queue("real", counts=one)]))
    assert {name: value for name, value in found.items() if name.startswith("hms_jobs queued")} == {
        "hms_jobs queued real": 1,
        "hms_jobs queued bogus-0": 1,
        "hms_jobs queued other": 4,
    }
    metrics.take(report(counters=completed(1, "late")))
    assert samples(metrics)["hms_worker_attempts_total completed other"] == 1


def test_requests_are_counted_by_template_and_never_by_what_a_client_sends() -> None:
    metrics = Metrics(HandClock())
    metrics.http.observe("/jobs/{id}", "GET", 200, 0.02)
    metrics.http.observe("", "BREW", 999, 0.02)
    for number in range(1_000):
        metrics.http.observe(f"/made-up/{number}", "GET", 404, 0.02)
    found = samples(metrics)
    assert found["hms_http_requests_total GET /jobs/{id} 200"] == 1
    assert found["hms_http_requests_total other other other"] == 1
    assert found["hms_http_request_duration_seconds_count GET /jobs/{id}"] == 1
    assert len([name for name in found if name.startswith("hms_http_requests_total")]) <= 203


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    metrics = Metrics(HandClock())
    metrics.take(report(counters=completed(2)))
    metrics.http.observe("/jobs", "POST", 202, 0.02)
    text, content_type = metrics.render(seen(), "application/openmetrics-text;version=1.0.0")
    parsed = read_openmetrics(text.decode())  # type: ignore[no-untyped-call]  # untyped in prometheus_client
    names = {family.name for family in parsed}
    assert content_type.startswith("application/openmetrics-text")
    assert {"hms_worker_attempts", "hms_http_requests", "process_cpu_seconds"} <= names
    assert metrics.render(seen())[1].startswith("text/plain")
