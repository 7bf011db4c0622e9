"""Whether the workers beside an HTTP server run their claim loops, as /healthz reports it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from hms_svc.domain.job import Lane
from hms_svc.http_api.service_metrics import STUCK_SECONDS, ServiceMetrics
from hms_svc.ports.meters import WorkerReport
from hms_svc.sdk.registry import Registry
from tests.support.api import ApiService, ServiceMaker
from tests.support.redis_server import RedisMaker
from tests.support.waiting import until


class HandClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ms(self) -> int:
        return self.lease_ms()

    def lease_ms(self) -> int:
        return int(self.seconds * 1000)


def pid_of_one_gone() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


async def test_a_worker_is_stuck_that_is_there_and_neither_turns_nor_speaks() -> None:
    clock = HandClock()
    metrics = ServiceMetrics(clock, Registry())
    reads, writes = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def say(worker: str, sequence: int, pid: int = os.getpid(), **more: Any) -> None:
        report = WorkerReport(worker=worker, sequence=sequence, pid=pid, **more)
        writes.send(msgspec.msgpack.encode(report))

    async def is_(alive: bool) -> None:
        async def holds() -> bool:
            return metrics.is_alive() is alive

        await until(f"alive is {alive}", holds)

    with reads, writes:
        metrics.listen(reads)
        assert metrics.is_alive(), "no worker at all, as while the broker is away"
        say("w-1", 1, iteration_seconds=STUCK_SECONDS)
        await is_(False)
        say("w-2", 1, pid_of_one_gone(), iteration_seconds=STUCK_SECONDS)
        say("w-1", 2)
        await is_(True)
        clock.seconds += STUCK_SECONDS
        assert not metrics.is_alive()
        say("w-1", 3, goodbye=True)
        await is_(True)
        asyncio.get_running_loop().remove_reader(reads)


async def test_a_server_without_a_report_for_half_a_minute_lacks_a_worker() -> None:
    clock = HandClock()
    metrics = ServiceMetrics(clock, Registry())
    assert not metrics.lacks_workers(STUCK_SECONDS), "it does not listen"
    reads, writes = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def say(worker: str, sequence: int, **more: Any) -> None:
        report = WorkerReport(worker=worker, sequence=sequence, pid=os.getpid(), **more)
        writes.send(msgspec.msgpack.encode(report))

    async def wake(worker: str) -> None:
        async def holds() -> bool:
            return any(each.worker == worker for each in metrics._metrics.liveness())

        await until(f"{worker} is heard", holds)

    with reads, writes:
        metrics.listen(reads)
        clock.seconds += STUCK_SECONDS - 1
        assert not metrics.lacks_workers(STUCK_SECONDS)
        clock.seconds += 1
        assert metrics.lacks_workers(STUCK_SECONDS)
        say("lane", 1, lane=Lane.SUSPECT)
        await wake("lane")
        assert metrics.lacks_workers(STUCK_SECONDS), "the suspect lane does no ordinary work"
        say("w-1", 1)
        await wake("w-1")
        assert not metrics.lacks_workers(STUCK_SECONDS)
        clock.seconds += STUCK_SECONDS
        assert metrics.lacks_workers(STUCK_SECONDS)
        asyncio.get_running_loop().remove_reader(reads)


@pytest.mark.parametrize(("lease_seconds", "silence"), [(10.0, 10), (120.0, 120), (1.0, 3)])
async def test_a_service_is_not_ready_when_no_worker_was_live_for_a_lease(
    make_service: ServiceMaker, monkeypatch: pytest.MonkeyPatch, lease_seconds: float, silence: int
) -> None:
    service = await make_service(lease_seconds=lease_seconds)
    clock = HandClock()
    monkeypatch.setattr(service.api, "metrics", ServiceMetrics(clock, Registry()))
    reads, writes = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with reads, writes:
        service.api.metrics.listen(reads)
        clock.seconds += silence - 1
        assert (await service.client.get("/readyz")).text == "ready\n"
        clock.seconds += 1
        assert (await service.client.get("/readyz")).text == "worker\n"
        asyncio.get_running_loop().remove_reader(reads)


async def test_a_worker_whose_slots_all_hang_is_not_alive() -> None:
    metrics = ServiceMetrics(HandClock(), Registry())
    reads, writes = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def say(sequence: int, hung: int) -> None:
        gauges = {"hms_worker_slots": 2.0, "hms_worker_hung_slots": float(hung)}
        report = WorkerReport(worker="w", sequence=sequence, pid=os.getpid(), gauges=gauges)
        writes.send(msgspec.msgpack.encode(report))

    async def is_(alive: bool) -> None:
        async def holds() -> bool:
            return metrics.is_alive() is alive

        await until(f"alive is {alive}", holds)

    with reads, writes:
        metrics.listen(reads)
        say(1, 2)
        await is_(False)
        say(2, 1)
        await is_(True)
        asyncio.get_running_loop().remove_reader(reads)


async def test_a_server_without_workers_is_neither_alive_nor_ready(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.api.metrics, "lacks_workers", lambda seconds: True)
    answers = [await service.client.get(path) for path in ("/healthz", "/readyz")]
    told = [(answer.status_code, answer.text) for answer in answers]
    assert told == [(503, "no worker\n"), (503, "worker\n")]


async def test_an_outage_is_not_told_as_a_lack_of_workers(
    make_service: ServiceMaker, make_redis: RedisMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_redis()
    service = await make_service(broker_url=server.url())
    monkeypatch.setattr(service.api.metrics, "lacks_workers", lambda seconds: True)
    server.kill()
    assert (await service.client.get("/healthz")).text == "alive\n"
    assert (await service.client.get("/readyz")).text == "broker\n"


async def test_counters_stand_at_0_from_the_start(service: ApiService) -> None:
    told = (await service.client.get("/metrics")).text.splitlines()
    for line in (
        "hms_worker_leases_lost_total 0.0",
        'hms_worker_attempts_total{outcome="dead",type="crew.notify"} 0.0',
        'hms_http_requests_total{method="POST",route="/jobs",status="503"} 0.0',
        'hms_http_requests_total{method="GET",route="/readyz",status="503"} 0.0',
    ):
        assert line in told


async def test_status_and_metrics_tell_one_health(service: ApiService) -> None:
    posted = await service.client.post("/jobs", json={"type": "snow.report", "data": 1})
    assert posted.status_code == 202
    health = (await service.client.get("/status")).json()["health"]
    [trouble] = health["troubles"]
    assert (trouble["kind"], trouble["message"]) == ("no_workers", "no workers, 1 job waiting")
    told = (await service.client.get("/metrics")).text
    assert 'hms_trouble{kind="no_workers"} 1.0' in told
    assert 'hms_trouble{kind="broker_down"} 0.0' in told
