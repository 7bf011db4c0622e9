"""The measurements of a benchmark, one after the other, each in a bounded time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from hms_svc import bootstrap
from hms_svc.bench.app import type_names
from hms_svc.bench.limits import limits_of
from hms_svc.bench.processes import WorkerProcess, worker_process
from hms_svc.bench.scratch import scratch
from hms_svc.domain.backend_url import BackendKind
from hms_svc.domain.errors import Outage
from hms_svc.domain.job import make_job
from hms_svc.domain.percentile import percentile
from hms_svc.domain.strict_json import decode
from hms_svc.operations.answers.bench import BenchAnswer, BenchDrain
from hms_svc.settings import Settings

if TYPE_CHECKING:
    from hms_svc.domain.views import QueueCounts
    from hms_svc.ports.backend import Backend
    from hms_svc.ports.database import Database

PARTS: Final = 10
"""The whole time of a benchmark is divided into so many parts, of which each measurement has one to three."""
ROUND_TRIPS: Final = 30
SYNCS: Final = 30
BULK: Final = 1_000
MOST_BACKLOG: Final = 200_000
REPORTS: Final = 400
POLL_SECONDS: Final = 0.05
PAUSE_SECONDS: Final = 0.02
START_SECONDS: Final = 30.0
Progress = Callable[[str], None]


async def measure(settings: Settings, seconds: float, progress: Progress) -> BenchAnswer:
    """Measure an installation with its settings, on data of its own that is removed.

    Raise Refused or BadInput where no such data can be made, Outage if the worker process ends.
    """
    began, load = time.perf_counter(), os.getloadavg()[0]
    async with scratch(settings) as own:
        database = bootstrap.database(own)
        if own.database.kind is BackendKind.POSTGRESQL:
            await database.migrate()
        await database.open()
        try:
            async with bootstrap.backend(own) as backend:
                found = await _Bench(own, backend, database, seconds / PARTS, progress).run()
        finally:
            await database.close()
    found = msgspec.structs.replace(found, load=load, seconds=time.perf_counter() - began)
    return msgspec.structs.replace(found, limits=limits_of(found))


class _Bench:
    def __init__(
        self,
        settings: Settings,
        backend: Backend,
        database: Database,
        part_seconds: float,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._database = database
        self._part_seconds = part_seconds
        self._progress = progress
        self._noop, self._timed, self._report, self._notice = type_names(settings.namespace)

    async def run(self) -> BenchAnswer:
        """Measure one thing after the other; a queue is paused while its jobs are enqueued, and when it is done."""
        self._progress("round trips and syncs")
        inspection, database = self._backend.inspection, self._database
        broker_ms = median([(await inspection.health()).round_trip_ms for _ in range(ROUND_TRIPS)])
        database_ms = median([(await database.health()).round_trip_ms for _ in range(ROUND_TRIPS)])
        sync_ms = _sync_ms(self._settings)
        self._progress("start of a worker")
        await self._enqueue(self._timed, [{}])
        began = time.perf_counter()
        types = (self._noop, self._timed, self._report, self._notice)
        with worker_process(self._settings, types) as worker:
            await self._first_job(worker)
            start_ms = (time.perf_counter() - began) * 1000
            self._progress("latency of an idle worker")
            latencies = await self._latencies(worker)
            await self._pause(self._report, self._noop)
            self._progress("reports with all five steps")
            await self._enqueue_reports()
            reports = await self._drain(worker, self._report)
            await self._pause(self._notice)
            self._progress("enqueue one by one")
            one_by_one = await self._rate(1)
            self._progress("enqueue in bulk")
            in_bulk = await self._rate(BULK)
            self._progress("drain of no-op jobs")
            noop = await self._drain(worker, self._noop)
        return BenchAnswer(
            broker=(await inspection.health()).kind,
            database=database.kind,
            cores=_cores(),
            slots=self._settings.concurrency,
            broker_ms=broker_ms,
            database_ms=database_ms,
            sync_ms=sync_ms,
            enqueue_per_second=one_by_one,
            enqueue_bulk_per_second=in_bulk,
            start_ms=start_ms,
            latency_p50_ms=percentile(latencies, 0.5),
            latency_p99_ms=percentile(latencies, 0.99),
            noop=noop,
            reports=reports,
        )

    async def _pause(self, *types: str) -> None:
        for type in types:
            await self._backend.control.pause(type, by="bench", reason="measured later")

    async def _rate(self, at_once: int) -> float:
        """Enqueue no-op jobs, so many in each call; return how many are accepted in a second."""
        began, total, passed = time.perf_counter(), 0, 0.0
        while passed < self._part_seconds and total < MOST_BACKLOG:
            await self._enqueue(self._noop, [{}] * at_once)
            total += at_once
            passed = time.perf_counter() - began
        return total / passed

    async def _enqueue(self, type: str, payloads: Sequence[object]) -> list[str]:
        now = int(time.time() * 1000)
        jobs = [make_job(type, data, now_ms=now) for data in payloads]
        await self._backend.broker.enqueue(jobs)
        return [job.id for job in jobs]

    async def _enqueue_reports(self) -> None:
        """Enqueue reports at places that are far enough from each other to be no duplicates."""
        seconds = 3 * self._part_seconds
        count = int(REPORTS * seconds)
        side = max(1, int(count**0.5))
        await self._enqueue(
            self._report,
            [
                {
                    "user_id": f"usr-{number}",
                    "lat": number // side / 100,
                    "lon": number % side / 100,
                }
                for number in range(count)
            ],
        )

    async def _first_job(self, worker: WorkerProcess) -> None:
        end = time.perf_counter() + START_SECONDS
        while not (await self._counts(self._timed)).completed:
            worker.check_alive()
            if time.perf_counter() > end:
                raise Outage(f"the worker of the benchmark ran no job in {START_SECONDS:g} s")
            await asyncio.sleep(POLL_SECONDS / 5)

    async def _counts(self, type: str) -> QueueCounts:
        [queue] = await self._backend.inspection.queues([type], workers=())
        return queue.counts

    async def _drain(self, worker: WorkerProcess, type: str) -> BenchDrain:
        """Watch a drain for at most three parts of the time, or until nothing is left."""
        await self._backend.control.resume(type)
        before = await self._sample(worker, type)
        end, last = before.at + 3 * self._part_seconds, before
        while last.at < end:
            await asyncio.sleep(POLL_SECONDS)
            last = await self._sample(worker, type)
            if not last.waiting:
                break
        worker.check_alive()
        await self._pause(type)
        return before.until(last)

    async def _sample(self, worker: WorkerProcess, type: str) -> _Sample:
        counts = await self._counts(type)
        return _Sample(
            at=time.perf_counter(),
            done=counts.completed,
            waiting=counts.queued + counts.processing,
            worker_cpu=worker.cpu_seconds(),
            broker_cpu=await self._broker_cpu(),
        )

    async def _broker_cpu(self) -> float | None:
        if self._settings.broker.kind is BackendKind.SQLITE:
            return None
        from hms_svc.brokers.redis.scratch import cpu_seconds

        link = bootstrap.redis_link(self._settings)
        await link.open()
        try:
            return await cpu_seconds(link)
        finally:
            await link.close()

    async def _latencies(self, worker: WorkerProcess) -> list[float]:
        """Enqueue one job after the other, and read from their results when they began."""
        sent: dict[str, int] = {}
        end = time.perf_counter() + 2 * self._part_seconds
        while time.perf_counter() < end:
            await asyncio.sleep(PAUSE_SECONDS)
            now = time.time_ns()
            [job_id] = await self._enqueue(self._timed, [{}])
            sent[job_id] = now
        end += START_SECONDS
        while (await self._counts(self._timed)).completed <= len(sent):
            if time.perf_counter() > end:
                raise Outage("the worker of the benchmark has stopped running jobs")
            worker.check_alive()
            await asyncio.sleep(POLL_SECONDS)
        details = await self._backend.inspection.details(list(sent))
        return sorted(
            (int(str(decode(each.result))) - sent[each.view.id]) / 1e6
            for each in details
            if each is not None and each.result is not None
        )


class _Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of a drain."""

    at: float
    done: int
    waiting: int
    worker_cpu: float | None
    broker_cpu: float | None

    def until(self, later: _Sample) -> BenchDrain:
        """Return what happened between two moments."""
        jobs, seconds = later.done - self.done, max(later.at - self.at, 1e-9)
        worker = _difference(self.worker_cpu, later.worker_cpu)
        broker = _difference(self.broker_cpu, later.broker_cpu)
        return BenchDrain(
            jobs=jobs,
            jobs_per_second=jobs / seconds,
            worker_cpu_us=_each(worker, jobs),
            worker_share=None if worker is None else worker / seconds,
            broker_cpu_us=_each(broker, jobs),
            broker_share=None if broker is None else broker / seconds,
        )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _each(seconds: float | None, jobs: int) -> float | None:
    return None if seconds is None or not jobs else seconds * 1e6 / jobs


def _sync_ms(settings: Settings) -> float | None:
    """Return the median of a small write that is synced, on the disk of the SQLite files."""
    paths = [url.path for url in (settings.broker, settings.database) if url.path]
    if not any(url.kind is BackendKind.SQLITE for url in (settings.broker, settings.database)):
        return None
    folder = Path(paths[-1]).parent
    file = os.open(folder / "sync", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return median([_one_sync(file) for _ in range(SYNCS)])
    finally:
        os.close(file)


def _one_sync(file: int) -> float:
    began = time.perf_counter()
    os.write(file, b"0" * 4096)
    os.fsync(file)
    return (time.perf_counter() - began) * 1000
