"""A broker on the test's own real Redis, and views of it from other processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hms_svc import bootstrap
from hms_svc.domain.job import ClaimedJob, Job, Lane, make_job
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.views import JobDetail
from hms_svc.ports.backend import Backend
from hms_svc.ports.broker import ClaimRequest, Enqueued, ServedType, Settlement
from hms_svc.ports.clock import SystemClock
from hms_svc.settings import Settings, load_settings
from tests.support.redis_server import RedisServer

TYPE = "pothole.report"
Maker = Callable[..., Backend]


class Fleet:
    """One process's view of the broker, with helpers for what most tests do."""

    def __init__(self, backend: Backend, server: RedisServer) -> None:
        self.broker = backend.broker
        self.inspection = backend.inspection
        self.control = backend.control
        self.bus = backend.bus
        self.server = server

    def job(self, data: object = None, type: str = TYPE, **fields: Any) -> Job:
        payload = {"n": 1} if data is None else data
        return make_job(type, payload, now_ms=SystemClock().now_ms(), **fields)

    async def accept(self, count: int = 1, **fields: Any) -> list[str]:
        jobs = [self.job({"n": number}, **fields) for number in range(count)]
        answers: list[Enqueued] = await self.broker.enqueue(jobs)
        assert len(answers) == count
        return [job.id for job in jobs]

    async def claim(
        self,
        limit: int = 10,
        *types: str,
        worker: str = "worker-1",
        lease_ms: int = 30_000,
        lane: Lane = Lane.NORMAL,
    ) -> list[ClaimedJob]:
        served = tuple(ServedType(type, 3) for type in (types or (TYPE,)))
        return await self.broker.claim(ClaimRequest(worker, served, limit, lease_ms, lane))

    def settlement(self, job: ClaimedJob, state: State = State.COMPLETED) -> Settlement:
        return Settlement(
            token=job.token,
            type=job.job.type,
            disposition=Disposition(state=state, trigger=Trigger.FINISHED, result=b"{}"),
            worker="worker-1",
            attempt=job.attempt,
            started_at=job.claimed_at,
            ended_at=job.claimed_at + 1,
        )

    async def complete(self, *jobs: ClaimedJob) -> None:
        assert await self.broker.settle([self.settlement(job) for job in jobs]) == []

    async def detail(self, job_id: str) -> JobDetail | None:
        return (await self.inspection.details([job_id]))[0]

    async def state(self, job_id: str) -> State | None:
        found = await self.detail(job_id)
        return found.view.state if found else None

    async def counts(self, type: str = TYPE) -> dict[str, int]:
        """Return the counts of a queue that are not zero."""
        for queue in await self.inspection.queues():
            if queue.type == type:
                sizes = msgspec.to_builtins(queue.counts)
                return {name: size for name, size in sizes.items() if size}
        return {}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"data_dir": str(tmp_path)}, environ={"HMS_SVC_CONFIG": ""}).settings


def settings_for(settings: Settings, url: str) -> Settings:
    return msgspec.structs.replace(settings, broker_url=url)


@pytest.fixture
async def fleet(settings: Settings, redis_server: RedisServer) -> AsyncIterator[Fleet]:
    async with bootstrap.backend(settings_for(settings, redis_server.url())) as backend:
        yield Fleet(backend, redis_server)
