"""A worker in this process, on a real queue file and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from hms_svc import bootstrap
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.strict_json import decode
from hms_svc.domain.views import ActOutcome, JobDetail
from hms_svc.operations.job_facts import look_up
from hms_svc.operations.plan import claim_of
from hms_svc.ports.control import Act, ActRequest
from hms_svc.ports.database import DatabaseHealth
from hms_svc.runtime.worker import Worker
from hms_svc.runtime.worker_ids import make_worker_id
from hms_svc.runtime.worker_options import Engines, WorkerOptions
from hms_svc.sdk.captured_output import captured_output
from hms_svc.sdk.job_type import Handler
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings, load_settings
from tests.support.redis_server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS, until

TYPE = "test.job"
LAT, LON = 38.8977, -77.0365
PLACE = {"user_id": "usr-1", "lat": LAT, "lon": LON}


class WorkerHarness:
    """The engines of one worker, and helpers for what most tests do with them."""

    def __init__(self, engines: Engines, settings: Settings) -> None:
        self.engines = engines
        self.settings = settings
        self.workers: list[tuple[Worker, asyncio.Task[None]]] = []

    def start(
        self, *, send_report: Callable[[bytes], bool] | None = None, **options: Any
    ) -> Worker:
        """Start a worker, by default with four slots."""
        given = {"slots": 4, "grace_seconds": 5.0, **options}
        asked = WorkerOptions(worker_id=make_worker_id(), **given)
        worker = Worker(self.engines, asked, send_report=send_report)
        self.workers.append((worker, asyncio.create_task(worker.run(), name="worker")))
        return worker

    async def ended(self, worker: Worker) -> None:
        """Wait until a worker has stopped."""
        [task] = [task for one, task in self.workers if one is worker]
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task

    async def stop(self) -> None:
        for worker, _ in self.workers:
            worker.stop()
        for worker, _ in self.workers:
            await self.ended(worker)

    async def enqueue(self, data: Any = None, type: str = TYPE, **fields: Any) -> str:
        now = self.engines.clock.now_ms()
        job = make_job(type, PLACE if data is None else data, now_ms=now, **fields)
        await self.engines.broker.enqueue([job])
        return job.id

    async def detail(self, job_id: str) -> JobDetail:
        [found] = await self.engines.inspection.details([job_id])
        assert found is not None, f"job {job_id} is not known"
        return found

    async def reaches(self, job_id: str, *states: State) -> JobDetail:
        """Wait until a job is in one of the states, by default in any terminal one."""
        wanted = states or tuple(TERMINAL)
        detail = await self.detail(job_id)

        async def is_in_one() -> bool:
            nonlocal detail
            detail = await self.detail(job_id)
            return detail.view.state in wanted

        await until(f"{job_id} is in {wanted}", is_in_one, found=lambda: detail.view.state)
        return detail

    async def run(self, data: Any = None, **fields: Any) -> JobDetail:
        """Enqueue one job, and return it in its end state."""
        return await self.reaches(await self.enqueue(data, **fields))

    async def act(self, act: Act, *job_ids: str) -> None:
        done = await self.try_act(act, *job_ids)
        assert all(outcome.done for outcome in done), done

    async def try_act(self, act: Act, *job_ids: str) -> list[ActOutcome]:
        """Act on jobs as an operator who has read them."""
        details = [detail for detail in await self.details(job_ids) if detail is not None]
        claims = {detail.view.id: claim_of(detail.view) for detail in details}
        seen = await look_up(act, claims, self.details, self.engines.database.effects)
        request = ActRequest(act=act, job_ids=job_ids, by="ravi", seen=seen)
        return await self.engines.control.act(request)

    async def details(self, job_ids: Sequence[str]) -> list[JobDetail]:
        """Return the details of the ids that exist."""
        found = await self.engines.inspection.details(job_ids)
        return [detail for detail in found if detail is not None]

    async def cases(self) -> list[str]:
        """Return the job ids of all cases."""
        found, _ = await self.engines.database.cases.page(
            status=None, kind=None, limit=0, cursor=None
        )
        return [case.job_id for case in found]

    async def health(self) -> DatabaseHealth:
        return await self.engines.database.health()


def result_of(detail: JobDetail) -> Any:
    assert detail.view.state is State.COMPLETED, (detail.view, detail.attempts)
    assert detail.result is not None
    return decode(detail.result)


HarnessMaker: TypeAlias = "Callable[[Registry], AbstractAsyncContextManager[WorkerHarness]]"


@pytest.fixture(params=["sqlite", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The embedded broker, and Redis: workers behave the same on both."""
    return settings_for(request.param, request, tmp_path)


on_embedded_first: Final = pytest.mark.parametrize(
    "settings", ["sqlite", pytest.param("redis", marks=pytest.mark.interop)], indirect=True
)
"""What is above the broker, or takes long: over Redis in `make interop`."""


def settings_for(broker: str, request: pytest.FixtureRequest, folder: Path) -> Settings:
    """Return settings with this broker, "sqlite" or "redis", and files in a folder."""
    given = {"data_dir": str(folder)}
    if broker == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        given["broker_url"] = server.url()
    return load_settings(given, environ={"HMS_SVC_CONFIG": ""}).settings


@pytest.fixture
def open_harness(settings: Settings) -> HarnessMaker:
    """Return a function that opens the engines for a registry; running workers are stopped when it closes."""

    @asynccontextmanager
    async def open_harness(registry: Registry) -> AsyncIterator[WorkerHarness]:
        async with bootstrap.engines(settings, registry) as engines:
            harness = WorkerHarness(engines, settings)
            with captured_output(pass_on=True):
                try:
                    yield harness
                finally:
                    await harness.stop()

    return open_harness


def registry_of(handler: Handler, **declared: Any) -> Registry:
    """Return a registry with one handler for the type that most tests use."""
    registry = Registry()
    registry.job(TYPE, **declared)(handler)
    return registry
