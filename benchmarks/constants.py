"""What one job costs: CPU of worker, Redis and PostgreSQL, and bytes in each store. See docs/sizing.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from benchmarks.engines import Engines, Plan
from benchmarks.figures import Figure
from benchmarks.pothole import NOTICE, REPORT
from benchmarks.rounds import interleaved
from benchmarks.servers import ask_database, database_cpu_seconds
from benchmarks.stage import DATABASE_VARIABLE, Stage

NOOPS, REPORTS = 100_000, 8_000
FIELDS = (
    ("enqueue_us", "CPU of Redis to enqueue", "µs a job"),
    ("worker_us", "CPU of the worker", "µs a job"),
    ("redis_us", "CPU of Redis from claim to settled", "µs a job"),
    ("postgres_us", "CPU of PostgreSQL", "µs a job"),
    ("waiting_bytes", "broker, queued", "bytes a job"),
    ("ended_bytes", "broker, completed", "bytes a job"),
    ("database_bytes", "database", "bytes a job"),
)
_ROWS_BYTES = "SELECT pg_database_size(current_database())"


class Cost(NamedTuple):
    """Microseconds of CPU and bytes, each for one job; 0 where an engine does not take part."""

    enqueue_us: float
    worker_us: float
    redis_us: float
    postgres_us: float
    waiting_bytes: float
    ended_bytes: float
    database_bytes: float


def cost_of(type: str, jobs: int, engines: Engines) -> Cost:
    """Submit so many jobs, then drain them with one worker of 20 slots; starting up is not counted."""
    types = (REPORT, NOTICE) if type == REPORT else (type,)
    with Stage(jobs, engines) as stage:
        warm = stage.serve("--drain", "--types", ",".join(types)).finish(600).cpu_seconds
        empty, before = _broker_bytes(stage), _redis_cpu(stage)
        stage.produce("bulk", type, jobs)
        submitted = _redis_cpu(stage)
        waiting = _broker_bytes(stage)
        rows, database = _database_bytes(stage), _database_cpu(stage)
        ended = stage.serve("--drain", "--types", ",".join(types)).finish(900)
        return Cost(
            enqueue_us=(submitted - before) / jobs * 1e6,
            worker_us=(ended.cpu_seconds - warm) / jobs * 1e6,
            redis_us=(_redis_cpu(stage) - submitted) / jobs * 1e6,
            postgres_us=(_database_cpu(stage) - database) / jobs * 1e6,
            waiting_bytes=(waiting - empty) / jobs,
            ended_bytes=(_broker_bytes(stage) - empty) / jobs,
            database_bytes=(_database_bytes(stage) - rows) / jobs,
        )


def _redis_cpu(stage: Stage) -> float:
    return stage.redis.work().cpu_seconds if stage.engines.redis else 0.0


def _database_cpu(stage: Stage) -> float:
    return database_cpu_seconds() if stage.engines.postgres else 0.0


def _broker_bytes(stage: Stage) -> float:
    if stage.engines.redis:
        return float(stage.redis.server.info("memory")["used_memory"])
    return _file_bytes(stage, "queue.db")


def _database_bytes(stage: Stage) -> float:
    if stage.engines.postgres:
        address = stage.environment[DATABASE_VARIABLE]
        return float(asyncio.run(ask_database(address, _ROWS_BYTES)))
    return _file_bytes(stage, "cases.db")


def _file_bytes(stage: Stage, name: str) -> float:
    [(pages,)] = stage.query(name, "PRAGMA page_count")
    [(size,)] = stage.query(name, "PRAGMA page_size")
    return float(pages) * float(size)


def run(plan: Plan) -> list[Figure]:
    """Measure no-op jobs and reports."""
    noops, reports = plan.of(NOOPS, 2_000), plan.of(REPORTS, 500)
    work: dict[str, Callable[[], Cost]] = {
        "no-op": partial(cost_of, "bench.async", noops, plan.engines),
        "report": partial(cost_of, REPORT, reports, plan.engines),
    }
    found = interleaved(work, plan.rounds)
    return [
        Figure(f"{name}: {words}", unit, tuple(getattr(cost, field) for cost in costs))
        for name, costs in found.items()
        for field, words, unit in FIELDS
        if any(getattr(cost, field) for cost in costs)
    ]
