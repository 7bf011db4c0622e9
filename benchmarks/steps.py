"""What each step of a job costs Redis: enqueue, claim and settle, in batches of a hundred.

No worker runs: one client calls the broker, so that the CPU of the server can be told apart by step.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks.engines import Engines, Plan
from benchmarks.figures import Figure
from benchmarks.payloads import noop
from benchmarks.rounds import interleaved
from benchmarks.servers import Redis
from hms_svc import bootstrap
from hms_svc.domain.job import ClaimedJob, Job, make_job
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition
from hms_svc.ports.broker import Broker, ClaimRequest, ServedType, Settlement
from hms_svc.ports.clock import SystemClock
from hms_svc.settings import load_settings

JOBS: Final = 40_000
BATCH: Final = 100
TYPE: Final = "bench.async"


class Steps(NamedTuple):
    """Microseconds of the server's CPU for one job, by step."""

    enqueue: float
    claim: float
    settle: float


def measure(jobs: int, engines: Engines) -> Steps:
    """Take jobs through the three steps, one step after the other."""
    with tempfile.TemporaryDirectory() as folder, Redis(Path(folder), engines.appendonly) as redis:
        return asyncio.run(_measure(jobs, redis, folder))


async def _measure(jobs: int, redis: Redis, folder: str) -> Steps:
    given = {"data_dir": folder, "broker_url": redis.url}
    settings = load_settings(given, environ={"HMS_SVC_CONFIG": ""}).settings
    async with bootstrap.backend(settings) as backend:
        broker = backend.broker
        now = SystemClock().now_ms()
        waiting = [make_job(TYPE, noop(number), now_ms=now) for number in range(jobs + BATCH)]
        await _enqueue(broker, waiting[:BATCH])
        await _settle(broker, await _claim(broker, BATCH))
        claimed: list[ClaimedJob] = []
        enqueue = await _cost(redis, jobs, partial(_enqueue, broker, waiting[BATCH:]))
        claim = await _cost(redis, jobs, partial(_claim_all, broker, jobs, claimed))
        settle = await _cost(redis, jobs, partial(_settle, broker, claimed))
        assert len(claimed) == jobs, f"{len(claimed)} claimed of {jobs}"
        return Steps(enqueue, claim, settle)


async def _cost(redis: Redis, jobs: int, step: Callable[[], Awaitable[object]]) -> float:
    before = redis.cpu_seconds()
    await step()
    return (redis.cpu_seconds() - before) * 1_000_000 / jobs


async def _enqueue(broker: Broker, jobs: list[Job]) -> None:
    for first in range(0, len(jobs), BATCH):
        await broker.enqueue(jobs[first : first + BATCH])


async def _claim(broker: Broker, limit: int) -> list[ClaimedJob]:
    return await broker.claim(ClaimRequest("bench-1", (ServedType(TYPE, 3),), limit, 600_000))


async def _claim_all(broker: Broker, jobs: int, claimed: list[ClaimedJob]) -> None:
    while len(claimed) < jobs and (found := await _claim(broker, BATCH)):
        claimed += found


async def _settle(broker: Broker, claimed: list[ClaimedJob]) -> None:
    for first in range(0, len(claimed), BATCH):
        refused = await broker.settle([_settlement(job) for job in claimed[first : first + BATCH]])
        assert not refused, f"{len(refused)} refused"


def _settlement(job: ClaimedJob) -> Settlement:
    done = Disposition(
        state=State.COMPLETED, trigger=Trigger.FINISHED, result=msgspec.json.encode({"ok": True})
    )
    return Settlement(
        token=job.token,
        type=job.job.type,
        disposition=done,
        worker="bench-1",
        attempt=job.attempt,
        started_at=job.claimed_at,
        ended_at=job.claimed_at + 1,
    )


def run(plan: Plan) -> list[Figure]:
    """Measure the three steps."""
    if not plan.engines.redis:
        print("skipped: these are steps of Redis", file=sys.stderr)
        return []
    jobs = plan.of(JOBS, BATCH) // BATCH * BATCH
    found = interleaved({"steps": partial(measure, jobs, plan.engines)}, plan.rounds)["steps"]
    words = f"Redis CPU a job, batches of {BATCH}"
    figures = [
        Figure(f"{step}: {words}", "µs", tuple(getattr(each, step) for each in found), aim)
        for step, aim in (("enqueue", "5; 6"), ("claim", ""), ("settle", ""))
    ]
    both = tuple(each.claim + each.settle for each in found)
    return [*figures, Figure(f"claim to settled: {words}", "µs", both, "12; 20")]
