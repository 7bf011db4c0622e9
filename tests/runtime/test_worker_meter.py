"""The figures that a worker counts and reports."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import ValidationFailed
from hms_svc.domain.job import LeaseToken
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import DeadLetter, Disposition, RetryLater
from hms_svc.domain.verdict import Effect
from hms_svc.ports.broker import Settlement
from hms_svc.ports.meters import MAX_REPORT_BYTES, OTHER, Tally, WorkerReport
from hms_svc.runtime import reporter as reporting
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.reporter import Reporter
from hms_svc.runtime.worker_meter import WorkerMeter
from hms_svc.runtime.worker_options import WorkerOptions
from hms_svc.sdk.label_values import LabelValues
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob
from tests.support.waiting import until
from tests.support.worker import PLACE, TYPE, HarnessMaker, registry_of

ATTEMPTS = "hms_worker_attempts_total"


class Listener:
    """Where reports go; `deaf` sends nothing on."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.deaf = False

    def send(self, message: bytes) -> bool:
        if not self.deaf:
            self.messages.append(message)
        return not self.deaf

    @property
    def reports(self) -> list[WorkerReport]:
        return [msgspec.msgpack.decode(each, type=WorkerReport) for each in self.messages]

    def counted(self, name: str) -> dict[tuple[str, ...], int]:
        found: dict[tuple[str, ...], int] = {}
        for report in self.reports:
            for each in report.counters:
                if each.name == name:
                    found[each.labels] = found.get(each.labels, 0) + each.grown
        return found

    def tallied(self, name: str) -> dict[tuple[str, ...], int]:
        found: dict[tuple[str, ...], int] = {}
        for report in self.reports:
            for each in report.histograms:
                if each.name == name:
                    found[each.labels] = found.get(each.labels, 0) + sum(each.counts)
        return found


def polite(data: dict[str, Any]) -> None:
    if data["user_id"] == "usr-rude":
        raise ValidationFailed("say please")


async def test_a_worker_reports_what_became_of_its_jobs(open_harness: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> Any:
        if job.data["user_id"] == "usr-again" and job.attempt == 1:
            return RetryLater(0)
        return DeadLetter("no") if job.data["user_id"] == "usr-dead" else None

    registry = registry_of(
        handler, validators=[polite], action="create_case", retry=RetryPolicy(3, 0, 0)
    )
    listener = Listener()
    async with open_harness(registry) as harness:
        harness.start(send_report=listener.send)
        for user in ("usr-1", "usr-again", "usr-rude", "usr-dead"):
            await harness.run({**PLACE, "user_id": user})
        await harness.stop()
    wanted = {"completed": 2, "retried": 1, "rejected": 1, "dead": 1}
    assert listener.counted(ATTEMPTS) == {(TYPE, way): count for way, count in wanted.items()}
    assert listener.counted("hms_worker_refusals_total") == {(TYPE, "polite"): 1}
    assert listener.counted("hms_worker_vets_total") == {("create_case", "allow"): 4}
    assert listener.counted("hms_worker_claimed_jobs_total") == {(TYPE,): 5}
    assert listener.tallied("hms_worker_attempt_duration_seconds") == {(TYPE,): 5}
    assert listener.tallied("hms_worker_wait_seconds") == {(TYPE,): 4}
    trips = listener.tallied("hms_worker_broker_round_trip_seconds")
    assert trips[("claim",)] == listener.counted("hms_worker_claims_total")[()]
    gauges = {"hms_worker_slots": 4, "hms_worker_busy_slots": 0, "hms_worker_hung_slots": 0}
    assert listener.reports[-1].gauges == gauges
    known = set(LabelValues(registry).series())
    for report in listener.reports:
        assert {(each.name, each.labels) for each in report.counters} <= known
        assert {(each.name, each.labels) for each in report.histograms} <= known


async def test_a_report_says_how_long_a_claim_hangs_and_the_last_says_goodbye(
    open_harness: HarnessMaker, monkeypatch: Any
) -> None:
    listener, hangs, goes_on = Listener(), asyncio.Event(), asyncio.Event()
    async with open_harness(registry_of(lambda: None)) as harness:
        claim = harness.engines.broker.claim

        async def late(request: Any) -> Any:
            hangs.set()
            await goes_on.wait()
            return await claim(request)

        monkeypatch.setattr(harness.engines.broker, "claim", late)
        monkeypatch.setattr(reporting, "REPORT_SECONDS", 0.005)
        worker = harness.start(send_report=listener.send)
        await hangs.wait()
        await until(
            "report of the turn", lambda: any(each.iteration_seconds for each in listener.reports)
        )
        goes_on.set()
        worker.stop()
        await harness.ended(worker)
    assert [report.goodbye for report in listener.reports].index(True) == len(listener.reports) - 1
    assert listener.reports[-1].iteration_seconds == 0


def settlement(type: str, fence: int, disposition: Disposition) -> Settlement:
    token = LeaseToken(f"job-{fence}", fence)
    return Settlement(token, type, disposition, "w", 1, started_at=1_000, ended_at=1_250)


DONE = Disposition(state=State.COMPLETED, trigger=Trigger.FINISHED)


def reporter_of(registry: Registry, listener: Listener) -> Reporter:
    options = WorkerOptions(worker_id="w")
    return Reporter(WorkerMeter(registry), options, InFlight(), listener.send)


async def test_what_was_not_sent_is_sent_with_the_next_report() -> None:
    listener = Listener()
    reporter = reporter_of(registry_of(lambda: None), listener)
    reporter.meter.settled([settlement(TYPE, 1, DONE)], [], 0.001)
    await reporter.run_once()
    listener.deaf = True
    reporter.meter.settled([settlement(TYPE, 2, DONE)], [], 0.001)
    await reporter.run_once()
    listener.deaf = False
    reporter.meter.settled([settlement(TYPE, 3, DONE)], [], 0.001)
    await reporter.run_once()
    assert [each.grown for report in listener.reports for each in report.counters] == [1, 2]
    assert [report.sequence for report in listener.reports] == [1, 2]


async def test_a_large_report_is_split_and_loses_nothing() -> None:
    registry = Registry()
    types = [f"type-{number:04}.{'x' * 80}" for number in range(600)]
    for type in types:
        registry.job(type)(lambda: None)
    listener = Listener()
    reporter = reporter_of(registry, listener)
    settled = [settlement(type, fence, DONE) for fence, type in enumerate(types)]
    reporter.meter.settled(settled, [], 0.001)
    reporter.announce_end()
    assert max(map(len, listener.messages)) <= MAX_REPORT_BYTES
    assert listener.counted(ATTEMPTS) == {(type, "completed"): 1 for type in types}
    assert [report.goodbye for report in listener.reports] == [
        *(False for _ in listener.reports[1:]),
        True,
    ]


def test_what_is_not_known_beforehand_has_no_label_of_its_own() -> None:
    registry = registry_of(lambda: None, validators=[polite], action="act")
    meter = WorkerMeter(registry)
    said_no = Disposition(state=State.REJECTED, trigger=Trigger.REFUSED, reason="made-up")
    later = Disposition(state=State.SCHEDULED, trigger=Trigger.SNOOZED)
    given = Disposition(state=State.SCHEDULED, trigger=Trigger.RELEASED)
    settled = [
        settlement(TYPE, 1, said_no),
        settlement("invented", 2, DONE),
        settlement(TYPE, 3, later),
        settlement(TYPE, 4, given),
        settlement(TYPE, 5, DONE),
    ]
    meter.settled(settled, [settled[-1].token], 0.001)
    meter.vetted("act", Effect.HOLD)
    meter.vetted("invented", Effect.DENY)
    found = {(name, *labels) for name, labels, value in meter.counters() if value}
    assert found == {
        (ATTEMPTS, TYPE, "rejected"),
        (ATTEMPTS, OTHER, "completed"),
        (ATTEMPTS, TYPE, "snoozed"),
        (ATTEMPTS, TYPE, "given_back"),
        (ATTEMPTS, TYPE, "lost"),
        ("hms_worker_refusals_total", TYPE, OTHER),
        ("hms_worker_vets_total", "act", "hold"),
        ("hms_worker_vets_total", OTHER, "deny"),
        ("hms_worker_settlements_refused_total",),
    }
    known = set(LabelValues(registry).series())
    assert {(name, labels) for name, labels, _ in meter.counters()} <= known


def test_a_tally_counts_a_value_at_a_bound_below_it() -> None:
    tally = Tally((0.1, 1.0))
    for seconds in (-0.5, 0.1, 0.11, 1.0, 7.0):
        tally.add(seconds)
    assert (tally.counts, round(tally.total, 2)) == ([2, 2, 1], 8.21)
