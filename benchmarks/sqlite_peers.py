"""Beside others, in the same minutes: huey synced to disk, and a hand-written SQLite loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.drain import Variant, drain, rate_of
from benchmarks.engines import Plan
from benchmarks.environments import python_of
from benchmarks.figures import Figure, ratio
from benchmarks.pothole import NOTICE, REPORT, drain_reports
from benchmarks.rounds import interleaved
from benchmarks.stage import Stage

JOBS = 40_000
HUEY_JOBS = 1_500
REPORTS = 3_000
HUEY_REPORTS = 500


class Peer(NamedTuple):
    """What was measured of one contender: jobs a second in submission and in drain."""

    enqueued: float
    rate: float


def run(plan: Plan) -> list[Figure]:
    """Measure the contenders in turn, and divide round by round."""
    jobs, reports = plan.of(JOBS, 1000), plan.of(REPORTS, 300)
    both = (REPORT, NOTICE)
    contenders: dict[str, Callable[[], Peer]] = {
        "hms-svc, concurrency 20": lambda: _ours(20, jobs),
        "hms-svc, concurrency 100": lambda: _ours(100, jobs),
        "hand-written loop, batches of 100": lambda: hand_loop(jobs),
        "hms-svc, pothole.report and notice": lambda: Peer(*drain_reports(reports, both, 100)[:2]),
    }
    huey = python_of("huey")
    if huey is not None:
        contenders["huey, synced to disk"] = lambda: on_huey(huey, "noop", HUEY_JOBS)
        contenders["huey, report and notice by hand"] = lambda: on_huey(
            huey, "report", HUEY_REPORTS
        )
    found = interleaved(contenders, plan.rounds)
    drained = {
        name: Figure(f"drain: {name}", "jobs/s", tuple(each.rate for each in measured))
        for name, measured in found.items()
    }
    enqueued = {
        name: Figure(f"bulk enqueue: {name}", "jobs/s", tuple(each.enqueued for each in measured))
        for name, measured in found.items()
    }
    return [*drained.values(), *enqueued.values(), *_ratios(drained, enqueued)]


def hand_loop(jobs: int) -> Peer:
    """Drain no-op jobs with the hand-written loop."""
    with Stage(jobs) as stage:
        module = (sys.executable, "-m", "benchmarks.hand_loop")
        seconds = float(stage.call(*module, "produce", str(jobs))["seconds"])
        rate = rate_of(stage, stage.start(*module, "work"), jobs)
        stage.probe.check_once()
        return Peer(jobs / seconds, rate)


def on_huey(python: str, kind: str, jobs: int) -> Peer:
    """Drain jobs with huey's consumer, one thread (on SQLite the fastest), results kept.

    A report counts with its notice: both have a number of their own in the probe.
    """
    calls = jobs * 2 if kind == "report" else jobs
    with Stage(calls) as stage:
        call = (python, "-m", "benchmarks.huey_app", "produce", kind, "bulk", str(jobs))
        seconds = float(stage.call(*call)["seconds"])
        consumer = ("huey.bin.huey_consumer", "benchmarks.huey_app.huey")
        worker = stage.start(python, "-m", *consumer, "-w", "1", "-k", "thread", "-q")
        rate = rate_of(stage, worker, calls) * jobs / calls
        stage.probe.check_once()
        if kind == "report":
            cases = stage.query("by_hand.db", "SELECT count(*) FROM cases")
            assert cases == [(jobs,)], f"{cases} cases of {jobs}"
        return Peer(jobs / seconds, rate)


def _ours(concurrency: int, jobs: int) -> Peer:
    found = drain(Variant("bench.async", concurrency), jobs)
    return Peer(found.enqueued, found.rate)


def _ratios(drained: dict[str, Figure], enqueued: dict[str, Figure]) -> list[Figure]:
    default, wide, loop, reports = list(drained)[:4]
    aim = "0.5; 0.33"  # set for Redis, against the same loop there
    found = [
        ratio("drain, concurrency 20: hms-svc / hand loop", drained[default], drained[loop], aim),
        ratio("drain, concurrency 100: hms-svc / hand loop", drained[wide], drained[loop], aim),
    ]
    if len(drained) > 4:
        huey, by_hand = list(drained)[4:]
        found += [
            ratio(
                "drain, concurrency 20: hms-svc / huey", drained[default], drained[huey], "15; 8"
            ),
            ratio("drain, concurrency 100: hms-svc / huey", drained[wide], drained[huey], "15; 8"),
            ratio("bulk enqueue: hms-svc / huey", enqueued[default], enqueued[huey], "6; 3"),
            ratio("reports: hms-svc / by hand on huey", drained[reports], drained[by_hand], "5; 3"),
        ]
    return found
