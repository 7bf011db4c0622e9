"""Hand-in one at a time: blocking, awaited, at the broker, in a crowd, beside a bare LPUSH."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.engines import Engines, Plan
from benchmarks.figures import Figure, ratio
from benchmarks.rounds import interleaved
from benchmarks.stage import Stage

JOBS = 3_000
WAYS = {
    "surface": "awaited, hms_svc.aio",
    "broker": "awaited, broker.enqueue",
    "crowd": "a hundred awaited at once, hms_svc.aio",
}


def rate(how: str, engines: Engines, jobs: int) -> float:
    """Return jobs a second in one of the ways."""
    with Stage(jobs, engines) as stage:
        if how == "blocking":
            return jobs / stage.produce("one", "bench.async", jobs)
        command = (sys.executable, "-m", "benchmarks.awaited_producer", how, str(jobs))
        return jobs / float(stage.call(*command)["seconds"])


def run(plan: Plan) -> list[Figure]:
    """Measure all ways in turn."""
    jobs = plan.of(JOBS, 200)
    names = {"blocking": "blocking, hms_svc", **WAYS}
    if plan.engines.redis:
        names["lpush"] = "bare LPUSH, redis-py"
    found = interleaved({how: partial(rate, how, plan.engines, jobs) for how in names}, plan.rounds)
    figures = {
        how: Figure(f"one by one: {words}", "jobs/s", tuple(found[how]))
        for how, words in names.items()
    }
    ratios = []
    if "lpush" in figures:
        for how in ("surface", "broker"):
            words = f"round trip of {WAYS[how]} / LPUSH"
            ratios.append(ratio(words, figures["lpush"], figures[how], "1.3; 2"))
    return [*figures.values(), *ratios]
