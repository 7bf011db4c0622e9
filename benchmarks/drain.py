"""No-op jobs: submitted in bulk, then drained by `serve --drain`."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from benchmarks.engines import EMBEDDED, Engines, Plan
from benchmarks.figures import Figure, ratio
from benchmarks.rounds import interleaved
from benchmarks.running import Running
from benchmarks.stage import Stage

JOBS = 20_000


class Variant(NamedTuple):
    """How the jobs are handled."""

    type: str
    concurrency: int
    processes: int = 1

    @property
    def name(self) -> str:
        """Words for the table."""
        processes = "1 process" if self.processes == 1 else f"{self.processes} processes"
        kind = self.type.removeprefix("bench.")
        return f"drain, {kind} handler, concurrency {self.concurrency}, {processes}"


class Drained(NamedTuple):
    """What one drain showed: jobs a second in bulk submission and in drain, CPU seconds of the whole
    run, seconds from start to first handler."""

    enqueued: float
    rate: float
    cpu_seconds: float
    start_seconds: float


VARIANTS = (
    Variant("bench.async", 20),
    Variant("bench.async", 100),
    Variant("bench.plain", 20),
    Variant("bench.plain", 100),
    Variant("bench.async", 20, 2),
    Variant("bench.async", 100, 2),
)


def drain(variant: Variant, jobs: int, engines: Engines = EMBEDDED) -> Drained:
    """Run one variant once. Raises AssertionError unless every job ran exactly once."""
    with Stage(jobs, engines) as stage:
        seconds = stage.produce("bulk", variant.type, jobs)
        running = stage.serve(
            "--drain",
            *("--types", variant.type),
            *("--concurrency", str(variant.concurrency)),
            *("--processes", str(variant.processes)),
        )
        rate = rate_of(stage, running, jobs, variant.processes)
        cpu = running.finish().cpu_seconds
        stage.probe.check_once()
        _check_settled(stage, variant.type, jobs)
        start = (stage.probe.first_calls()[0] - running.started_ns) / 1e9
        return Drained(jobs / seconds, rate, cpu, start)


def rate_of(stage: Stage, running: Running, jobs: int, processes: int = 1) -> float:
    """Wait until all were called; return jobs a second from the first handler to the last.

    With several processes the clock starts when each has had a job.
    """
    probe = stage.probe
    running.wait_until(
        "job handled in every process",
        lambda: len(probe.first_calls()) >= processes or probe.called() == jobs,
    )
    if processes == 1:
        began, already = probe.first_calls()[0], 1
    else:
        began, already = probe.first_calls()[-1], probe.called()
    running.wait_until("end of the backlog", lambda: probe.called() == jobs)
    return (jobs - already) * 1e9 / max(1, probe.last_call() - began)


def start_up_cpu(types: str, concurrency: int, engines: Engines = EMBEDDED) -> float:
    """Return the CPU seconds of a `serve --drain` that finds nothing to do."""
    with Stage(1, engines) as stage:
        running = stage.serve("--drain", "--types", types, "--concurrency", str(concurrency))
        return running.finish().cpu_seconds


def run(plan: Plan) -> list[Figure]:
    """Measure all variants."""
    jobs = plan.of(JOBS, 500)
    drained = interleaved(
        {each.name: partial(drain, each, jobs, plan.engines) for each in VARIANTS}, plan.rounds
    )
    start_up = partial(start_up_cpu, "bench.async", 20, plan.engines)
    empty = interleaved({"start-up": start_up}, plan.rounds)["start-up"]
    rates = [
        Figure(name, "jobs/s", tuple(found.rate for found in each))
        for name, each in drained.items()
    ]
    of_100 = {each.name: figure for each, figure in zip(VARIANTS, rates, strict=True)}
    single, double = VARIANTS[1].name, VARIANTS[5].name
    first = drained[VARIANTS[0].name]
    cpu = tuple(
        (each.cpu_seconds - idle) / jobs * 1e6 for each, idle in zip(first, empty, strict=True)
    )
    all_enqueued = tuple(found.enqueued for each in drained.values() for found in each)
    return [
        Figure("enqueue in bulk (1,000 a call)", "jobs/s", all_enqueued),
        *rates,
        ratio("two processes against one, concurrency 100", of_100[double], of_100[single]),
        Figure("CPU of a drained no-op, async, concurrency 20", "µs", cpu),
    ]


def _check_settled(stage: Stage, type: str, jobs: int) -> None:
    completed = stage.observer.completed(type)
    assert completed == jobs, f"{completed} of {jobs} jobs are completed"
