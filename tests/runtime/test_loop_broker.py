"""Jobs that are submitted again and again from one event loop go to Redis from that loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import hms_svc
from hms_svc import aio
from hms_svc.api.loop_broker import FIRST_CALLS
from hms_svc.api.portal import portal
from hms_svc.domain.errors import BrokerUnavailable, IdConflict
from tests.support.redis_server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS, until

COUNT = FIRST_CALLS + 5
RUN = """
import asyncio
from hms_svc import aio
from hms_svc.api.portal import portal

async def submit():
    for number in range(8):
        assert await aio.Job("x.y", {"number": number}).enqueue() == "queued"
    assert await portal().broker_here() is not None

asyncio.run(submit())
asyncio.run(submit())
"""


@pytest.fixture(autouse=True)
def own_portal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> Iterator[None]:
    monkeypatch.setenv("HMS_SVC_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HMS_SVC_CONFIG", "")
    monkeypatch.setenv("HMS_SVC_BROKER_URL", redis_server.url())
    hms_svc.close()
    yield
    hms_svc.close()


async def submit() -> list[str]:
    return [await aio.Job("x.y", {"number": number}).enqueue() for number in range(COUNT)]


async def test_the_loop_has_a_broker_of_its_own_after_the_first_calls() -> None:
    await aio.Job("x.y", {}).enqueue()
    assert await portal().broker_here() is None
    assert await submit() == ["queued"] * COUNT
    assert await portal().broker_here() is not None
    await aio.close()


async def test_many_tasks_open_it_once_and_errors_are_the_same() -> None:
    jobs = [aio.Job("x.y", {"n": number}, id=f"job-{number}") for number in range(20)]
    assert await asyncio.gather(*(job.enqueue() for job in jobs)) == ["queued"] * 20
    with pytest.raises(IdConflict, match="'job-1' belongs to another job"):
        await aio.Job("x.y", {"n": 5}, id="job-1").enqueue()
    await aio.close()


async def test_after_a_close_the_next_calls_open_it_anew() -> None:
    await submit()
    first = await portal().broker_here()
    await aio.close()
    assert await submit() == ["queued"] * COUNT
    second = await portal().broker_here()
    assert second is not None
    assert second is not first
    await aio.close()


async def test_calls_that_a_close_interrupts_end() -> None:
    await submit()
    calls = [asyncio.create_task(aio.Job("x.y", {"n": n}).enqueue()) for n in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await aio.close()
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(answer == "queued" or isinstance(answer, BrokerUnavailable) for answer in answers)


async def test_another_thread_may_close_it(redis_server: RedisServer) -> None:
    def connections() -> int:
        return int(redis_server.cli("CLIENT", "LIST").count(b" name=hms-svc "))

    before = connections()
    await submit()
    assert connections() > before
    await asyncio.to_thread(hms_svc.close)
    await until("its connections are closed", lambda: connections() == before)


def test_a_loop_that_ends_closes_it_without_a_warning(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_embedded_broker_is_not_opened_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HMS_SVC_BROKER_URL")
    hms_svc.close()

    async def work() -> None:
        assert await submit() == ["queued"] * COUNT
        assert await portal().broker_here() is None

    asyncio.run(work())
    assert [thread.name for thread in threading.enumerate()].count("hms-svc") == 1
