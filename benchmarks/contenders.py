"""Who is measured over Redis, each with its settings and what it guarantees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.environments import python_of
from benchmarks.running import Running
from benchmarks.stage import Stage


class Contender(NamedTuple):
    """A peer, or hms-svc where `python` is empty. `jobs` makes a drain of some seconds."""

    name: str
    jobs: int
    python: str = ""
    module: str = ""
    work: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    concurrency: int = 0

    def produce(self, stage: Stage, kind: str, how: str, count: int, *more: str) -> float:
        """Submit jobs from another process; return seconds."""
        if not self.python:
            return stage.produce(how, "bench.async" if kind == "noop" else kind, count, *more)
        arguments = ("produce", kind, how, str(count), *more)
        return float(stage.call(self.python, "-m", self.module, *arguments)["seconds"])

    def start(self, stage: Stage, core: int | None = None) -> Running:
        """Start one worker process, on one core where asked."""
        if not self.python:
            options = ("--types", "bench.async", "--concurrency", str(self.concurrency))
            return stage.serve(*options, core=core)
        stage.environment |= self.environment
        return stage.start(self.python, "-m", *self.work, core=core)


def hms_svc(concurrency: int, jobs: int = 100_000) -> Contender:
    """Return this project, as `serve` runs it."""
    return Contender(f"hms-svc, concurrency {concurrency}", jobs, concurrency=concurrency)


def hand_loop() -> Contender | None:
    """Return the loop by hand: the limit."""
    python = python_of("loop")
    if python is None:
        return None
    module = "benchmarks.redis_hand_loop"
    return Contender("hand-written loop, batches of 100", 200_000, python, module, (module, "work"))


def peers() -> list[Contender]:
    """Return the fastest three that run a job at least once, those that can be installed.

    dramatiq: 8 threads, 500 prefetched, no results. taskiq: streams, 100 tasks at
    a time, no results, the stream never trimmed. SAQ: 20 coroutines, orjson, results
    kept ten minutes. All of them acknowledge each job by itself.
    """
    found = []
    if (python := python_of("dramatiq")) is not None:
        module = "benchmarks.dramatiq_app"
        work = ("dramatiq", module, "-p", "1", "-t", "8")
        tuned = {"dramatiq_queue_prefetch": "500"}
        found.append(Contender("dramatiq, tuned", 15_000, python, module, work, tuned))
    if (python := python_of("taskiq")) is not None:
        module = "benchmarks.taskiq_app"
        options = ("--workers", "1", "--log-level", "WARNING", "--max-async-tasks", "100")
        command = ("taskiq", "worker", f"{module}:broker", *options, "--max-prefetch", "0")
        found.append(Contender("taskiq, streams", 12_000, python, module, command))
    if (python := python_of("saq")) is not None:
        module = "benchmarks.saq_app"
        found.append(Contender("SAQ, orjson", 10_000, python, module, (module, "work")))
    return found
