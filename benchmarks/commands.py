"""What people wait for and what an idle worker costs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from benchmarks.engines import Engines, Plan
from benchmarks.figures import Figure
from benchmarks.rounds import interleaved
from benchmarks.stage import HMS_SVC, ROOT, Stage

CALLS = 5
IDLE_SECONDS = 20.0


class Idle(NamedTuple):
    """An idle `serve`: MiB of its whole session, per cent of one core, reads of Redis a second."""

    resident_mib: float
    cpu_percent: float
    reads: float


def wall(engines: Engines, *arguments: str) -> float:
    """Return the seconds of the fastest of five warm runs of one command."""
    with Stage(1, engines) as stage:
        taken = []
        for _ in range(CALLS + 1):
            began = time.perf_counter()
            subprocess.run(
                [*HMS_SVC, *arguments],
                env=stage.environment,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                check=True,
            )
            taken.append(time.perf_counter() - began)
        return min(taken[1:])


def start_to_first(engines: Engines) -> float:
    """Return the seconds from the start of `serve` to the first handler, files being there."""
    with Stage(2, engines) as stage:
        stage.serve("--drain").finish()
        stage.produce("bulk", "bench.async", 1)
        running = stage.serve()
        running.wait_until("first handler", lambda: stage.probe.called() == 1)
        return (stage.probe.last_call() - running.started_ns) / 1e9


def idle(seconds: float, engines: Engines) -> Idle:
    """Watch an idle `serve --no-http` (supervisor and worker) after its start is over."""
    with Stage(1, engines) as stage:
        running = stage.serve()
        stage.produce("bulk", "bench.async", 1)
        running.wait_until("first handler", lambda: stage.probe.called() == 1)
        time.sleep(2.0)
        asked = stage.redis.work() if engines.redis else None
        before, began = running.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        cpu, gone = running.cpu_seconds() - before, time.monotonic() - began
        reads = stage.redis.work().since(asked).reads / gone if asked else 0.0
        return Idle(running.resident_mib(), cpu / gone * 100, reads)


def run(plan: Plan) -> list[Figure]:
    """Measure all of it."""
    engines = plan.engines
    commands: dict[str, Callable[[], float]] = {
        "hms-svc --help (best of 5)": partial(wall, engines, "--help"),
        "hms-svc enqueue FILE (best of 5)": partial(
            wall, engines, "enqueue", "sample_jobs/pothole.json"
        ),
        "serve: start to first job": partial(start_to_first, engines),
    }
    times = interleaved(commands, plan.rounds)
    aims = ("0.15; 0.3", "0.25; 0.4", "0.4; 0.8")
    watch = partial(idle, IDLE_SECONDS * min(1.0, plan.scale), engines)
    watched = interleaved({"idle serve": watch}, plan.rounds)
    rest = watched["idle serve"]
    reads = Figure("idle serve, round trips", "1/s", tuple(e.reads for e in rest), "5; 10")
    return [
        *(
            Figure(name, "s", tuple(values), aim)
            for (name, values), aim in zip(times.items(), aims, strict=True)
        ),
        Figure("idle serve, resident", "MiB", tuple(e.resident_mib for e in rest), "60; 90"),
        Figure("idle serve, CPU", "% of a core", tuple(e.cpu_percent for e in rest), "0.5; 1"),
        *([reads] if engines.redis else []),
    ]
