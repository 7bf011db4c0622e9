"""Who is measured over Redis, each with its settings and what it guarantees."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.environments import modules_of, python_of
from benchmarks.running import Running
from benchmarks.stage import Stage

BULLMQ = "BullMQ on Node.js"


class Contender(NamedTuple):
    """A peer with the commands of its producer and its worker, or hms-svc, which has none.

    `jobs` makes a drain of some seconds.
    """

    name: str
    jobs: int
    producer: tuple[str, ...] = ()
    worker: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    concurrency: int = 0
    has_reports: bool = True

    @property
    def is_peer(self) -> bool:
        """Whether it is another program than this one."""
        return bool(self.producer)

    def produce(self, stage: Stage, kind: str, how: str, count: int, *more: str) -> float:
        """Submit jobs from another process; return seconds."""
        if not self.is_peer:
            return stage.produce(how, "bench.async" if kind == "noop" else kind, count, *more)
        stage.environment |= self.environment
        arguments = ("produce", kind, how, str(count), *more)
        return float(stage.call(*self.producer, *arguments)["seconds"])

    def start(self, stage: Stage, core: int | None = None) -> Running:
        """Start one worker process, on one core where asked."""
        if not self.is_peer:
            options = ("--types", "bench.async", "--concurrency", str(self.concurrency))
            return stage.serve(*options, core=core)
        stage.environment |= self.environment
        return stage.start(*self.worker, core=core)


def hms_svc(concurrency: int, jobs: int = 100_000) -> Contender:
    """Return this project, as `serve` runs it."""
    return Contender(f"hms-svc, concurrency {concurrency}", jobs, concurrency=concurrency)


def hand_loop() -> Contender | None:
    """Return the loop by hand: the limit."""
    python = python_of("loop")
    if python is None:
        return None
    module = "benchmarks.redis_hand_loop"
    run = (python, "-m", module)
    return Contender("hand-written loop, batches of 100", 200_000, run, (*run, "work"))


def peers() -> list[Contender]:
    """Return the fastest that run a job at least once, those that can be installed.

    dramatiq: 8 threads, 500 prefetched, no results. taskiq: streams, 100 tasks at
    a time, no results, the stream never trimmed. SAQ: 20 coroutines, orjson, results
    kept ten minutes. BullMQ, on Node.js: 100 jobs at a time, results kept.
    All of them acknowledge each job by itself.
    """
    found = []
    if (python := python_of("dramatiq")) is not None:
        run = (python, "-m", "benchmarks.dramatiq_app")
        work = (python, "-m", "dramatiq", run[-1], "-p", "1", "-t", "8")
        tuned = {"dramatiq_queue_prefetch": "500"}
        found.append(Contender("dramatiq, tuned", 15_000, run, work, tuned))
    if (python := python_of("taskiq")) is not None:
        run = (python, "-m", "benchmarks.taskiq_app")
        options = ("--workers", "1", "--log-level", "WARNING", "--max-async-tasks", "100")
        command = (python, "-m", "taskiq", "worker", f"{run[-1]}:broker", *options)
        found.append(Contender("taskiq, streams", 12_000, run, (*command, "--max-prefetch", "0")))
    if (python := python_of("saq")) is not None:
        run = (python, "-m", "benchmarks.saq_app")
        found.append(Contender("SAQ, orjson", 10_000, run, (*run, "work")))
    if (modules := modules_of("bullmq")) is not None:
        node = ("node", os.fspath(Path(__file__).with_name("bullmq_app.mjs")))
        found.append(
            Contender(
                BULLMQ,
                30_000,
                producer=node,
                worker=(*node, "work", "100"),
                environment={"BENCH_MODULES": modules},
                has_reports=False,
            )
        )
    return found
