"""The Workers screen: for a silent worker it shows what is recorded, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hms_svc import bootstrap
from hms_svc.domain.job import make_job
from hms_svc.ports.backend import Backend
from hms_svc.ports.broker import ClaimRequest, ServedType, WorkerRegistration
from hms_svc.settings import load_settings
from tests.support.console import POTHOLE, ConsoleDriver, drive_console
from tests.support.redis_server import RedisMaker

TYPE = "pothole.report"
LEASE_SECONDS = 1


async def show(backend: Backend, *workers: str) -> None:
    """Let workers register once."""
    lease_keeper = backend.broker.lease_keeper()
    for name in workers:
        worker = WorkerRegistration(
            id=name, host="h", pid=1, slots=4, busy=0, types=(TYPE,), started_at=1
        )
        await asyncio.to_thread(lease_keeper.register, worker)
    await asyncio.to_thread(lease_keeper.close)


def line_of(driver: ConsoleDriver, text: str) -> str:
    return next((line for line in driver.lines() if text in line), "")


@pytest.mark.parametrize("broker", ["sqlite", "redis"])
async def test_a_rescue_is_shown_once_it_is_recorded(
    broker: str, make_redis: RedisMaker, tmp_path: Path, fast_polls: None
) -> None:
    url = make_redis().url() if broker == "redis" else f"sqlite:///{tmp_path}/queue.db"
    given = {"data_dir": str(tmp_path), "broker_url": url, "lease_seconds": LEASE_SECONDS}
    settings = load_settings(given, environ={"HMS_SVC_CONFIG": ""}).settings
    async with (
        bootstrap.backend(settings) as backend,
        drive_console(given, size=(200, 40)) as driver,
    ):
        await driver.press("5")
        await show(backend, "frozen")
        now = driver.console.now_ms()
        await backend.broker.enqueue([make_job(TYPE, POTHOLE, now_ms=now) for _ in range(3)])
        request = ClaimRequest("frozen", (ServedType(TYPE, 3),), 10, LEASE_SECONDS * 1000)
        assert len(await backend.broker.claim(request)) == 3
        await driver.until("it is seen at work", lambda: "frozen" in line_of(driver, "3/4"))
        ends = [line_of(driver, text).index(text) + len(text) for text in ("busy", "3/4")]
        assert ends[0] == ends[1], "the title is above its column"
        await driver.until("it is silent", lambda: "last seen" in line_of(driver, "✗ frozen"))
        await driver.until("its lease ran out", lambda: "ran out" in line_of(driver, "✗ frozen"))
        await driver.until("it is not live", lambda: not driver.console.store.snapshot.workers)
        assert "there is no live worker to requeue it" in line_of(driver, "✗ frozen")
        assert "rescued" not in driver.text()
        await driver.press("2")
        await driver.sees("its worker is silent")
        await driver.press("5")
        await driver.sees("there is no live worker to requeue it")
        await backend.broker.reap(10)
        await driver.until(
            "the rescue is shown", lambda: "3 of its 3 jobs rescued" in line_of(driver, "✗ frozen")
        )


@pytest.mark.parametrize("broker", ["sqlite", "redis"])
async def test_slots_are_listed_under_their_worker_which_is_quieted_resumed_and_stopped(
    broker: str, make_redis: RedisMaker, tmp_path: Path, fast_polls: None
) -> None:
    url = make_redis().url() if broker == "redis" else f"sqlite:///{tmp_path}/queue.db"
    given = {"data_dir": str(tmp_path), "broker_url": url, "actor": "ann"}
    settings = load_settings(given, environ={"HMS_SVC_CONFIG": ""}).settings
    async with (
        bootstrap.backend(settings) as backend,
        drive_console(given, size=(120, 40)) as driver,
    ):
        await show(backend, "north")
        now = driver.console.now_ms()
        [job] = await driver.enqueue(TYPE, POTHOLE)
        await backend.broker.claim(ClaimRequest("north", (ServedType(TYPE, 3),), 1, 30_000))
        await driver.press("5")
        await driver.until(
            "its slots are shown", lambda: "in 2" in line_of(driver, f"▸ …{job[-12:]}")
        )
        assert "3 free" in driver.text()
        assert "1/4" in line_of(driver, "● north")
        await driver.press("p")
        await driver.opened("ConfirmDialog")
        await driver.reads("1 running job may finish")
        await driver.reads(f"no other live worker serves {TYPE}")
        await driver.type("bad disk")
        await driver.press("enter")
        await driver.sees("asked to be quiet")
        await driver.until(
            "it has not taken it up",
            lambda: "not yet quiet: requested" in line_of(driver, "● north"),
        )
        assert "working" in line_of(driver, "● north")
        await driver.press("p")
        await driver.sees("north is asked to be working")
        await driver.press("x")
        await driver.opened("ConfirmDialog")
        await driver.press("escape")
        [worker] = await backend.inspection.workers()
        assert worker.request is not None
        assert (worker.request.state, worker.request.by) == ("working", "ann")
        assert worker.request.at >= now
