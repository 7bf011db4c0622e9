"""A real `serve` over a Redis that goes away: nothing has to be restarted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hms_svc import bootstrap
from hms_svc.domain.lifecycle import State
from hms_svc.settings import Settings, child_environment
from tests.support.fleet import Fleet, settings_for
from tests.support.redis_server import RedisMaker, RedisServer
from tests.support.waiting import until

DRILL = "drill.run"


class ServeCommand:
    """One `hms-svc serve`, its log, and the worker that it keeps alive."""

    def __init__(self, settings: Settings, server: RedisServer, folder: Path) -> None:
        self.settings = settings_for(settings, server.url())
        self.log = folder / "serve.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hms_svc", "serve", "--no-http"],
                env=child_environment(self.settings),
                stdout=output,
                stderr=output,
            )

    def worker(self) -> int | None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0]) if children.split() else None

    async def has_said(self, words: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return words in self.log.read_text()


@pytest.fixture
def server(make_redis: RedisMaker) -> RedisServer:
    return make_redis(appendonly="always")


@pytest.fixture
def serving(settings: Settings, server: RedisServer, tmp_path: Path) -> Iterator[ServeCommand]:
    serving = ServeCommand(settings, server, tmp_path)
    yield serving
    serving.process.terminate()
    assert serving.process.wait(40) == 0, serving.log.read_text()


async def complete_one(serving: ServeCommand, server: RedisServer) -> None:
    async with bootstrap.backend(serving.settings) as backend:
        fleet = Fleet(backend, server)
        job = fleet.job({}, type=DRILL)
        await backend.broker.enqueue([job])

        async def completed() -> bool:
            return await fleet.state(job.id) is State.COMPLETED

        await until("the job is completed", completed)


async def test_a_worker_that_dies_in_an_outage_is_replaced_until_it_can_start(
    serving: ServeCommand, server: RedisServer
) -> None:
    await complete_one(serving, server)
    server.kill()
    worker = serving.worker()
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    await until("a worker cannot start", lambda: serving.has_said("ended with 5"))
    await asyncio.to_thread(server.start)
    await complete_one(serving, server)
