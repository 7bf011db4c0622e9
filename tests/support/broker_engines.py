"""Every broker backend, newly opened, with a clock that only the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from hms_svc import bootstrap
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.job import ClaimedJob, Job, Lane, make_job
from hms_svc.domain.job_limits import Limit
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.views import JobDetail
from hms_svc.operations.job_facts import hold_key
from hms_svc.ports.backend import Backend
from hms_svc.ports.broker import (
    Acceptance,
    ClaimRequest,
    Enqueued,
    ServedType,
    Settlement,
    WorkerRegistration,
)
from hms_svc.ports.control import Act, ActRequest, SeenClaim
from hms_svc.ports.database import Database
from hms_svc.ports.inspection import Inspection
from hms_svc.runtime.archive_transfer import ArchiveTransfer
from hms_svc.settings import Settings, load_settings
from tests.support import lua_libraries
from tests.support.redis_server import RedisServer

TYPE = "pothole.report"
LEASE_MS = 30_000


def transfer_between(backend: Backend | BrokerHarness, database: Database) -> ArchiveTransfer:
    """What moves jobs from a broker to the archive of a database."""
    return ArchiveTransfer(
        control=backend.control,
        inspection=backend.inspection,
        archive=database.archive,
        erasure=database.erasure,
    )


class ManualClock:
    """Both clocks of the port, moved by hand."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000_000
        self.lease = 5_000_000

    def now_ms(self) -> int:
        return self.wall

    def lease_ms(self) -> int:
        return self.lease

    def advance(self, seconds: float) -> None:
        self.wall += int(seconds * 1000)
        self.lease += int(seconds * 1000)


async def seen_of(
    inspection: Inspection, ids: Sequence[str], case_id: str | None = None
) -> dict[str, SeenClaim]:
    """Return what an operator has seen of the jobs that exist."""
    details = await inspection.details(ids)
    return {
        detail.view.id: SeenClaim(detail.view.fence, case_id, hold_key(detail))
        for detail in details
        if detail is not None
    }


class BrokerHarness:
    """A broker with its interfaces, and helpers for what most tests do."""

    def __init__(self, backend: Backend, clock: ManualClock) -> None:
        self.broker = backend.broker
        self.inspection = backend.inspection
        self.control = backend.control
        self.bus = backend.bus
        self.clock = clock

    def job(self, data: Any = None, type: str = TYPE, **fields: Any) -> Job:
        data = {"n": 1} if data is None else data
        return make_job(type, data, now_ms=self.clock.now_ms(), **fields)

    async def seen(self, *ids: str, case_id: str | None = None) -> dict[str, SeenClaim]:
        """Return what an operator has seen of jobs whose case in the database is `case_id`."""
        return await seen_of(self.inspection, ids, case_id)

    async def purge(self, limit: int, batch: str = "") -> int:
        """Cancel waiting jobs as operators do, and return their number."""
        waiting = await self.control.waiting(TYPE, limit=limit)
        seen = {job_id: SeenClaim(fence) for job_id, fence in waiting}
        request = ActRequest(
            act=Act.CANCEL, job_ids=tuple(seen), by="ravi", note="purged", batch=batch, seen=seen
        )
        return sum(outcome.done for outcome in await self.control.act(request))

    async def enqueue(self, *jobs: Job) -> list[Enqueued]:
        return await self.broker.enqueue(jobs)

    async def accept(self, count: int = 1, **fields: Any) -> list[str]:
        jobs = [self.job({"n": number}, **fields) for number in range(count)]
        answers = await self.broker.enqueue(jobs)
        assert {answer.acceptance for answer in answers} == {Acceptance.ACCEPTED}
        return [job.id for job in jobs]

    async def claim(
        self,
        limit: int = 10,
        *types: str,
        worker: str = "worker-1",
        lane: Lane = Lane.NORMAL,
        max_attempts: int = 3,
    ) -> list[ClaimedJob]:
        served = tuple(ServedType(type, max_attempts) for type in (types or (TYPE,)))
        return await self.broker.claim(ClaimRequest(worker, served, limit, LEASE_MS, lane))

    def settlement(self, job: ClaimedJob, disposition: Disposition) -> Settlement:
        return Settlement(
            token=job.token,
            type=job.job.type,
            disposition=disposition,
            worker="worker-1",
            attempt=job.attempt,
            started_at=job.claimed_at,
            ended_at=self.clock.now_ms(),
            traceparent=job.job.traceparent,
        )

    async def settle(self, job: ClaimedJob, state: State, **fields: Any) -> bool:
        """Settle one job; return True if the broker accepted it. `due_at` sets the delay."""
        trigger = fields.pop("trigger", Trigger.FINISHED)
        if (due_at := fields.pop("due_at", None)) is not None:
            fields["delay_ms"] = max(due_at - self.clock.now_ms(), 0)
        disposition = Disposition(state=state, trigger=trigger, **fields)
        return not await self.broker.settle([self.settlement(job, disposition)])

    async def complete(self, job: ClaimedJob) -> bool:
        return await self.settle(job, State.COMPLETED, result=b'{"ok":true}')

    async def detail(self, job_id: str) -> JobDetail:
        found = (await self.inspection.details([job_id]))[0]
        assert found is not None, f"job {job_id} is not known"
        return found

    async def state(self, job_id: str) -> State:
        return (await self.detail(job_id)).view.state

    async def counts(self, type: str = TYPE) -> dict[str, int]:
        """Return the counts of a queue that are not zero, by state."""
        for queue in await self.inspection.queues():
            if queue.type == type:
                named = {state.value: getattr(queue.counts, state.value) for state in State}
                return {name: number for name, number in named.items() if number}
        return {}

    async def events(self) -> list[tuple[str, str]]:
        return [(event.type, event.subject) for event in await self.bus.read(after=0, limit=10_000)]

    def register(
        self,
        *types: str,
        worker: str = "worker-1",
        priorities: tuple[tuple[str, int], ...] = (),
        limits: tuple[tuple[str, tuple[Limit, ...]], ...] = (),
        keyed_limits: tuple[tuple[str, tuple[Limit | None, ...]], ...] = (),
    ) -> None:
        lease_keeper = self.broker.lease_keeper()
        lease_keeper.register(
            WorkerRegistration(
                id=worker,
                host="host",
                pid=1,
                slots=4,
                busy=0,
                types=types or (TYPE,),
                started_at=self.clock.now_ms(),
                priorities=priorities,
                limits=limits,
                keyed_limits=keyed_limits,
            )
        )
        lease_keeper.close()


BrokerMaker = Callable[[], Backend]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"data_dir": str(tmp_path)}, environ={"HMS_SVC_CONFIG": ""}).settings


def without_flags(command: tuple[Any, ...]) -> tuple[Any, ...]:
    """Strip the first line of a script: fakeredis does not support it, the real server needs it."""
    if command[0] != "EVAL":
        return command
    return (command[0], command[1].partition("\n")[2], *command[2:])


class DoubledCommands:
    """Runs commands on fakeredis, with the parts of INFO that it lacks."""

    def __init__(self, client: AsyncRedis) -> None:
        self._client = client

    async def ask(self, *command: Any) -> Any:
        if command[0] == "INFO":
            return {"redis_version": "7.0.0", "cluster_enabled": 0}
        stripped = without_flags(command)
        return await self._client.execute_command(*stripped)  # type: ignore[no-untyped-call]  # untyped in redis-py

    async def ask_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        return [await self.ask(*command) for command in commands]

    async def reconnect(self) -> None:
        await self._client.connection_pool.disconnect()

    async def close(self) -> None:
        await self._client.aclose()


class Double(FakeRedis):
    def execute_command(self, *command: Any, **options: Any) -> Any:
        stripped = without_flags(command)
        return super().execute_command(*stripped, **options)  # type: ignore[no-untyped-call]  # untyped in redis-py


class FakeClients:
    """Return clients of one fakeredis server."""

    def __init__(self) -> None:
        self._server = FakeServer(server_type="redis", version=(7, 0))
        FakeRedis(server=self._server, protocol=2).eval("return 0", 0)
        lua_libraries.teach(self._server)

    def for_commands(self) -> DoubledCommands:
        return DoubledCommands(self.for_waiting())

    def for_probe(self) -> DoubledCommands:
        return self.for_commands()

    def for_waiting(self) -> AsyncRedis:
        return FakeAsyncRedis(server=self._server, protocol=2)

    def for_lease_keeper(self) -> Redis:
        return Double(server=self._server, protocol=2)


def redis_settings(settings: Settings, url: str) -> Settings:
    return msgspec.structs.replace(settings, broker_url=url)


@pytest.fixture(params=["sqlite", "fakeredis", "redis"])
def make_backend(
    request: pytest.FixtureRequest, settings: Settings, clock: ManualClock
) -> BrokerMaker:
    """Return a function that opens the broker under test again, as another process would."""
    if request.param == "sqlite":
        return lambda: bootstrap.backend(settings, clock)
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        real = redis_settings(settings, server.url())
        return lambda: bootstrap.backend(real, clock)
    clients = FakeClients()
    fake = redis_settings(settings, "redis://fake/0")

    def make_double() -> Backend:
        return bootstrap.redis_backend(fake, Link(fake.broker, fake.namespace, clients, clock))

    return make_double


@pytest.fixture
async def harness(make_backend: BrokerMaker, clock: ManualClock) -> AsyncIterator[BrokerHarness]:
    async with make_backend() as backend:
        yield BrokerHarness(backend, clock)
