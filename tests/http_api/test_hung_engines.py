"""A broker or database that neither answers nor refuses: every request is answered, the numbers go on."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from hms_svc.ports.answer_timeout import MOST_SECONDS
from hms_svc.sqlite.lock import LockFile
from tests.support.api import NOTICE, ApiService, ServiceMaker
from tests.support.framing import POSTGRESQL
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import LOOPBACK, Proxy
from tests.support.redis_server import RedisMaker, RedisServer
from tests.support.waiting import until

JOB = {"type": "crew.notify", "data": NOTICE}
SAID = f"no answer in {MOST_SECONDS:g} s"
Asked = tuple[str, str, object]
KEY = {"idempotency-key": "key-1"}
OF_BROKER: list[Asked] = [
    ("GET", "/status", None),
    ("GET", "/queues", None),
    ("GET", "/workers", None),
    ("GET", "/failures", None),
    ("GET", "/schedules", None),
    ("GET", "/jobs", None),
    ("GET", "/jobs/some", None),
    ("GET", "/jobs/some/why", None),
    ("GET", "/batches", None),
    ("GET", "/batches/some", None),
    ("GET", "/jobs/some/events", None),
    ("POST", "/jobs", JOB),
    ("POST", "/jobs/some/cancel", {}),
    ("POST", "/jobs/acts", {"act": "cancel", "ids": ["some"]}),
    ("POST", "/queues/crew.notify/pause", {}),
    ("POST", "/batches/wards/close", {}),
    ("POST", "/schedules/crew.notify/run", {}),
    ("POST", "/schedules/crew.notify/pause", {}),
    ("POST", "/schedules/crew.notify/resume", {}),
]
OF_DATABASE: list[Asked] = [("GET", "/cases", None), ("POST", "/queues/crew.notify/pause", {})]


@contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextmanager
def sat_upon(file: Path) -> Iterator[None]:
    """Hold the write lock of a file, as a process that was stopped inside a transaction does."""
    lock = LockFile(file)
    with closing(lock), lock.held(), closing(sqlite3.connect(file)):
        yield


async def ask(service: ApiService, method: str, path: str, body: object) -> httpx.Response:
    return await service.client.request(method, path, json=body)


async def told_in_time(service: ApiService, asked: list[Asked], said: str) -> None:
    """Every request is answered with 503, the reason and when to come again."""
    for answer in await asyncio.gather(*(ask(service, *each) for each in asked)):
        assert answer.status_code == 503, answer.request.url
        assert said in answer.json()["detail"], answer.request.url
        assert answer.headers["retry-after"] == "2", answer.request.url


async def numbers(service: ApiService) -> list[str]:
    """The lines of /metrics, which is 200 whatever hangs."""
    answer = await service.client.get("/metrics")
    assert answer.status_code == 200
    lines = answer.text.splitlines()
    assert "hms_worker_leases_lost_total 0.0" in lines
    return lines


async def test_a_broker_that_hangs_is_told_by_every_route_and_the_numbers_go_on(
    make_service: ServiceMaker, make_redis: RedisMaker
) -> None:
    server = make_redis()
    service = await make_service(broker_url=server.url())
    assert (await service.post()).status_code == 202
    with stopped(server):
        lines, ready, _ = await asyncio.gather(
            numbers(service), service.client.get("/readyz"), told_in_time(service, OF_BROKER, SAID)
        )
        assert 'hms_broker_up{kind="redis"} 0.0' in lines
        assert 'hms_database_up{kind="sqlite"} 1.0' in lines
        assert (ready.status_code, ready.text) == (503, "broker\n")
        await told_in_time(service, OF_BROKER, SAID)
        assert (await service.client.get("/healthz")).text == "alive\n"
        assert (await service.client.get("/cases")).status_code == 200
    await until("it takes jobs again", lambda: takes(service))
    assert 'hms_broker_up{kind="redis"} 1.0' in await numbers(service)


async def test_a_database_that_hangs_is_told_by_the_routes_that_need_it(
    make_service: ServiceMaker, postgres_server: PostgresServer, postgres_database: str
) -> None:
    home = postgres_server.home
    with Proxy(home.port, host=home.host, dialect=POSTGRESQL) as proxy:
        url = f"postgresql://{home.user}@{LOOPBACK}:{proxy.port}/{postgres_database}"
        service = await make_service(database_url=url)
        assert (await service.post()).status_code == 202
        proxy.black_hole()
        lines, ready, _ = await asyncio.gather(
            numbers(service),
            service.client.get("/readyz"),
            told_in_time(service, OF_DATABASE, SAID),
        )
        assert 'hms_database_up{kind="postgresql"} 0.0' in lines
        assert 'hms_broker_up{kind="sqlite"} 1.0' in lines
        assert (ready.status_code, ready.text) == (503, "database\n")
        assert (await service.post()).status_code == 202
        assert (await service.post(JOB, **{"idempotency-key": "key-1"})).status_code == 503
        proxy.pass_through()
        await until("it is ready again", lambda: is_ready(service))


@pytest.mark.parametrize("name", ["queue", "cases"])
async def test_a_file_that_a_stopped_process_sits_on_is_told_by_what_writes_to_it(
    service: ApiService, tmp_path: Path, name: str
) -> None:
    with sat_upon(tmp_path / f"{name}.db"):
        answers = await asyncio.gather(
            *(service.post(JOB, **{"idempotency-key": f"key-{number}"}) for number in range(3))
        )
        answers += await asyncio.gather(service.post(JOB, **{"idempotency-key": "key-4"}))
        for answer in answers:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert f"was locked by process {os.getpid()} for" in answer.json()["detail"]
            assert f"for {MOST_SECONDS:g} s" in answer.json()["detail"]
        assert (await service.client.get("/status")).status_code == 200
    await until("it takes jobs again", lambda: takes(service))


async def takes(service: ApiService) -> bool:
    return (await service.post(JOB, **{"idempotency-key": "key-9"})).status_code == 202


async def is_ready(service: ApiService) -> bool:
    return (await service.client.get("/readyz")).status_code == 200
