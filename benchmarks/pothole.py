"""`pothole.report` with all five steps, everything durable, drained by one process."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from benchmarks.drain import Drained, Variant, drain, start_up_cpu
from benchmarks.engines import EMBEDDED, Engines, Plan
from benchmarks.figures import Figure, ratio
from benchmarks.rounds import interleaved
from benchmarks.stage import Stage

JOBS = 4_000
REPORT, NOTICE = "pothole.report", "crew.notify"


class Reported(NamedTuple):
    """Reports a second in submission and in drain, and the CPU seconds of the whole run."""

    enqueued: float
    rate: float
    cpu_seconds: float


def drain_reports(
    jobs: int, types: tuple[str, ...], concurrency: int = 20, engines: Engines = EMBEDDED
) -> Reported:
    """Submit distinct reports by distinct users, and drain them with the notices or without.

    Raises AssertionError unless each made one case, one `case.opened` and, where
    they are served, one notice.
    """
    with Stage(1, engines) as stage:
        seconds = stage.produce("bulk", REPORT, jobs)
        running = stage.serve(
            "--drain", "--types", ",".join(types), "--concurrency", str(concurrency)
        )
        cpu = running.finish(600).cpu_seconds
        return Reported(jobs / seconds, jobs / span_seconds(stage, types, jobs), cpu)


def span_seconds(stage: Stage, types: tuple[str, ...], jobs: int) -> float:
    """Return the seconds from the first job's start to the last one's end, all of it checked."""
    observer = stage.observer
    done = observer.jobs(f"state:completed ({' OR '.join(f'type:{name}' for name in types)})")
    assert len(done) == jobs * len(types), f"{len(done)} completed, of {jobs} × {types}"
    cases, opened = observer.cases(), observer.events("case.opened")
    assert (cases, opened) == (jobs, jobs), f"{cases} cases, {opened} events of {jobs}"
    began = min(job.started_at for job in done if job.started_at is not None)
    ended = max(job.finished_at for job in done if job.finished_at is not None)
    return (ended - began) / 1000


def run(plan: Plan) -> list[Figure]:
    """Measure with and without the notices, beside a no-op."""
    jobs = plan.of(JOBS, 200)
    noop = Variant("bench.async", 20)
    noops = jobs * 5

    def measure(what: str) -> Reported | Drained | float:
        if what == "no-op":
            return drain(noop, noops, plan.engines)
        if what == "start-up":
            return start_up_cpu(REPORT, 20, plan.engines)
        types = (REPORT, NOTICE) if "with" in what.split() else (REPORT,)
        return drain_reports(jobs, types, 100 if "100" in what else 20, plan.engines)

    names = (
        "reports without crew.notify, concurrency 20",
        "reports with crew.notify, concurrency 20",
        "reports without crew.notify, concurrency 100",
        "reports with crew.notify, concurrency 100",
        "no-op",
        "start-up",
    )
    found = interleaved({name: partial(measure, name) for name in names}, plan.rounds)
    empty = [each for each in found["start-up"] if isinstance(each, float)]

    def cpu(name: str, words: str, count: int) -> Figure:
        used = [each.cpu_seconds for each in found[name] if not isinstance(each, float)]
        each_us = [(one - idle) / count * 1e6 for one, idle in zip(used, empty, strict=True)]
        return Figure(words, "µs", tuple(each_us))

    rates = [
        Figure(name, "reports/s", tuple(e.rate for e in found[name] if not isinstance(e, float)))
        for name in names[:4]
    ]
    alone = cpu(names[0], "CPU of a report without its notice", jobs)
    of_noop = cpu("no-op", "CPU of a no-op", noops)
    return [
        *rates,
        alone,
        cpu(names[1], "CPU of a report with its notice", jobs),
        of_noop,
        ratio("CPU of a report against a no-op", alone, of_noop, "5×; 10×"),
    ]
