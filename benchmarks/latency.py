"""Waiting: from hand-in in one process to the handler, and to the case, in another."""

from __future__ import annotations

import time
from typing import NamedTuple

from benchmarks.figures import Figure, share
from benchmarks.pothole import REPORT, span_seconds
from benchmarks.rounds import interleaved
from benchmarks.stage import Stage

JOBS = 200
REPORTS = 1_000
_UNTIL_CASE = (
    "SELECT finished_at - enqueued_at FROM jobs JOIN queues USING (queue) "
    "WHERE type = 'pothole.report' ORDER BY 1"
)
_COMPLETED = "SELECT count(*) FROM jobs JOIN queues USING (queue) WHERE type = ? AND state = 6"


class Waited(NamedTuple):
    """Milliseconds for half and for all but one in a hundred of the jobs."""

    p50: float
    p99: float


def idle(jobs: int) -> Waited:
    """Hand jobs to an idle worker, 20 ms apart."""
    with Stage(jobs) as stage:
        worker = stage.serve()
        worker.wait_until("ready worker", lambda: _ready(stage))
        time.sleep(1.0)  # idle means that its start is over
        stage.produce("paced", "bench.async", jobs, "0.02")
        worker.wait_until("last handler", lambda: stage.probe.called() == jobs)
        stage.probe.check_once()
        delays = stage.probe.delays_ms()
        return Waited(share(delays, 0.5), share(delays, 0.99))


def until_case(reports: int) -> Waited:
    """Hand in 200 reports a second; from construction to the committed case (1 ms resolution)."""
    with Stage() as stage:
        worker = stage.serve("--types", REPORT)
        worker.wait_until("ready worker", lambda: _ready(stage))
        time.sleep(1.0)
        stage.produce("paced", REPORT, reports, "0.005")
        worker.wait_until(
            "last case", lambda: stage.query("queue.db", _COMPLETED, REPORT) == [(reports,)]
        )
        worker.wait_until("last event", lambda: _opened(stage) == reports)
        span_seconds(stage, (REPORT,), reports)
        waited = [float(row[0]) for row in stage.query("queue.db", _UNTIL_CASE)]
        return Waited(share(waited, 0.5), share(waited, 0.99))


def run(rounds: int, scale: float) -> list[Figure]:
    """Measure both."""
    reports = max(200, int(REPORTS * scale))
    found = interleaved(
        {"idle": lambda: idle(JOBS), "until_case": lambda: until_case(reports)}, rounds
    )
    handler, case = found["idle"], found["until_case"]
    return [
        Figure("idle, enqueue to handler, p50", "ms", tuple(e.p50 for e in handler), "3; 10"),
        Figure("idle, enqueue to handler, p99", "ms", tuple(e.p99 for e in handler), "8; 30"),
        Figure("200 reports/s, enqueue to case, p50", "ms", tuple(e.p50 for e in case), "10; 25"),
        Figure("200 reports/s, enqueue to case, p99", "ms", tuple(e.p99 for e in case)),
    ]


def _opened(stage: Stage) -> int:
    rows = stage.query("queue.db", "SELECT count(*) FROM events WHERE type = 'case.opened'")
    return int(rows[0][0])


def _ready(stage: Stage) -> bool:
    if not (stage.folder / "queue.db").exists():
        return False
    known = stage.query("queue.db", "SELECT count(*) FROM sqlite_master WHERE name = 'workers'")
    return known == [(1,)] and stage.query("queue.db", "SELECT count(*) FROM workers") == [(1,)]
