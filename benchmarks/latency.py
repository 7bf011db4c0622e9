"""Waiting: from submission in one process to the handler, and to the case, in another."""

from __future__ import annotations

import time
from typing import NamedTuple

from benchmarks.engines import EMBEDDED, Engines, Plan
from benchmarks.figures import Figure, share
from benchmarks.pothole import REPORT, span_seconds
from benchmarks.rounds import interleaved
from benchmarks.stage import Stage

JOBS = 200
REPORTS = 1_000


class Waited(NamedTuple):
    """Milliseconds for half and for all but one in a hundred of the jobs."""

    p50: float
    p99: float


def idle(jobs: int, engines: Engines = EMBEDDED) -> Waited:
    """Hand jobs to an idle worker, 20 ms apart."""
    with Stage(jobs, engines) as stage:
        worker = stage.serve()
        worker.wait_until("ready worker", stage.observer.has_worker)
        time.sleep(1.0)  # idle means that its start is over
        stage.produce("paced", "bench.async", jobs, "0.02")
        worker.wait_until("last handler", lambda: stage.probe.called() == jobs)
        stage.probe.check_once()
        delays = stage.probe.delays_ms()
        return Waited(share(delays, 0.5), share(delays, 0.99))


def until_case(reports: int, engines: Engines = EMBEDDED) -> Waited:
    """Submit 200 reports a second; from construction to the committed case (1 ms resolution)."""
    with Stage(1, engines) as stage:
        worker = stage.serve("--types", REPORT)
        worker.wait_until("ready worker", stage.observer.has_worker)
        time.sleep(1.0)
        stage.produce("paced", REPORT, reports, "0.005")
        look = stage.observer
        worker.wait_until("last case", lambda: look.completed(REPORT) == reports)
        worker.wait_until("last event", lambda: look.unpublished() == 0)
        span_seconds(stage, (REPORT,), reports)
        done = look.jobs(f"state:completed type:{REPORT}")
        waited = sorted(
            float(job.finished_at - job.enqueued_at) for job in done if job.finished_at is not None
        )
        return Waited(share(waited, 0.5), share(waited, 0.99))


def run(plan: Plan) -> list[Figure]:
    """Measure both."""
    reports = plan.of(REPORTS, 200)
    found = interleaved(
        {
            "idle": lambda: idle(JOBS, plan.engines),
            "until_case": lambda: until_case(reports, plan.engines),
        },
        plan.rounds,
    )
    handler, case = found["idle"], found["until_case"]
    aims = ("0.9; 2", "1.5; 5") if plan.engines.redis else ("3; 10", "8; 30")
    return [
        Figure("idle, enqueue to handler, p50", "ms", tuple(e.p50 for e in handler), aims[0]),
        Figure("idle, enqueue to handler, p99", "ms", tuple(e.p99 for e in handler), aims[1]),
        Figure("200 reports/s, enqueue to case, p50", "ms", tuple(e.p50 for e in case), "10; 25"),
        Figure("200 reports/s, enqueue to case, p99", "ms", tuple(e.p99 for e in case)),
    ]
