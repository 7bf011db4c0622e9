"""The answer of `hms-svc bench`."""

from __future__ import annotations

import msgspec


class BenchDrain(msgspec.Struct, frozen=True, kw_only=True):
    """How one worker process works through a backlog. CPU is in microseconds a job.

    `worker_share` and `broker_share` are parts of one core.
    None is what this system or server does not report.
    """

    jobs: int
    jobs_per_second: float
    worker_cpu_us: float | None
    worker_share: float | None
    broker_cpu_us: float | None
    broker_share: float | None


class BenchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a benchmark measured, and what limits this installation on this machine, in words.

    Times are milliseconds. `sync_ms` is the median of a write that is synced to the disk of
    the SQLite files; None without any. `database_ms` and `broker_ms` are round trips.
    """

    broker: str
    database: str
    cores: int
    slots: int
    broker_ms: float
    database_ms: float
    sync_ms: float | None
    enqueue_per_second: float
    enqueue_bulk_per_second: float
    start_ms: float
    latency_p50_ms: float
    latency_p99_ms: float
    noop: BenchDrain
    reports: BenchDrain
    load: float = 0.0
    limits: tuple[str, ...] = ()
    seconds: float = 0.0
