"""`redis-server` killed under load, again and again: what it has acknowledged is there when it is back."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.checker import read_journal
from tests.chaos.site import Site
from tests.support.redis_server import RedisMaker, RedisServer
from tests.support.serve_process import Served


@pytest.fixture
def killed(
    request: pytest.FixtureRequest, make_redis: RedisMaker, tmp_path: Path, postgres_url: str
) -> Iterator[tuple[Site, RedisServer]]:
    """A site over a Redis of its own that syncs its log as often as the test says."""
    server = make_redis(appendonly=getattr(request, "param", "always"))
    site = Site(tmp_path, server.url(), postgres_url)
    yield site, server
    site.close()


def assault(site: Site, server: RedisServer, chance: random.Random, *, kills: int) -> Served:
    """Kill and restart the server so often, each time once work goes on; return who worked."""
    producers = [site.producer(kind, "insist") for kind in ("chaos.slow_case", "push:chaos.case")]
    served = site.serve("--processes", "2", app=APP)
    served.wait_until("both workers are ready", lambda: len(site.broker.workers()) == 2)
    workers = served.workers()
    for _ in range(kills):
        done = site.count(State.COMPLETED)
        for producer in producers:
            producer.ask(40)
        served.wait_until("work goes on", lambda: site.count(State.COMPLETED) > done)  # noqa: B023 - called before `done` changes
        time.sleep(chance.uniform(0.0, 0.1))
        server.restart()
    for producer in producers:
        producer.close()
    served.wait_until("all is done", lambda: not unfinished(site))
    # A suspect's process may join them: where the server is away for most of a lease, some expire.
    assert set(workers) <= set(served.workers()), "a worker had to be replaced"
    return served


def unfinished(site: Site) -> int:
    waiting = (State.SCHEDULED, State.QUEUED, State.PROCESSING, State.RETRYING)
    return sum(site.count(state) for state in waiting)


def nothing_is_lost(site: Site, server: RedisServer, chance: random.Random, kills: int) -> None:
    assault(site, server, chance, kills=kills)
    site.stop()
    report = site.check()
    assert report.faults == []
    assert report.states == {"completed": 80 * kills}
    assert report.cases == report.acknowledged == 80 * kills


@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.interop)])
def test_what_a_synced_broker_acknowledged_survives_its_death(
    killed: tuple[Site, RedisServer], chance: random.Random, kills: int
) -> None:
    nothing_is_lost(*killed, chance, kills)


@pytest.mark.chaos
def test_what_a_synced_broker_acknowledged_survives_its_death_at_length(
    killed: tuple[Site, RedisServer], chance: random.Random
) -> None:
    nothing_is_lost(*killed, chance, 50)


class Log:
    """The append-only file, and how long it was at each moment."""

    def __init__(self, server: RedisServer) -> None:
        [self._path] = (server.folder / "appendonlydir").glob("*.incr.aof")
        self._sizes: list[tuple[float, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def cut_back(self, seconds: float) -> None:
        """Make it what it was so long before its last change."""
        self._ended.set()
        self._thread.join()
        last = max(at for at, _ in self._sizes)
        before = [size for at, size in self._sizes if at <= last - seconds]
        os.truncate(self._path, before[-1] if before else self._sizes[0][1])

    def _watch(self) -> None:
        while not self._ended.is_set():
            size = self._path.stat().st_size
            if not self._sizes or size != self._sizes[-1][1]:
                self._sizes.append((time.monotonic(), size))
            self._ended.wait(0.002)


SPOKEN_OF_BY_THE_LOST: Final = (
    re.compile(r"I1: \S+ was acknowledged and is gone"),
    re.compile(r"I2: a case of \S+, which is no job"),
    re.compile(r"I2: \d+ pothole cases, \d+ crew.notify jobs"),
    re.compile(r"I3: \S+: 1 cases, 0 case.opened"),
)


@pytest.mark.chaos
@pytest.mark.parametrize("killed", ["everysec"], indirect=True)
def test_what_a_broker_that_syncs_each_second_loses_is_counted(
    killed: tuple[Site, RedisServer], chance: random.Random
) -> None:
    """The kernel keeps what a killed process has written; a power cut takes what was not synced.

    So the worst power cut is made up: the log loses its last second.
    """
    site, server = killed
    assault(site, server, chance, kills=10)
    acknowledged = read_journal(site.journal)
    lost = set(acknowledged) - {job.id for job in site.jobs()}
    print(f"everysec, 10 kills: {len(lost)} of {len(acknowledged)} acknowledged jobs lost")
    producers = [site.producer(kind, "insist") for kind in ("named:chaos.case", "distinct")]
    for _ in range(10):
        log = Log(server)
        for producer in producers:
            producer.ask(100)
        time.sleep(chance.uniform(0.2, 1.5))
        server.kill()
        log.cut_back(1.0)
        server.start()
    for producer in producers:
        producer.close()
    [served] = site.all_served
    served.wait_until("all is done", lambda: not unfinished(site))
    site.stop()
    report = site.check()
    gone = len(set(read_journal(site.journal)) - {job.id for job in site.jobs()})
    print(
        f"everysec, 10 power cuts: {gone - len(lost)} of 2000 acknowledged jobs lost,"
        f" {1000 - len(site.jobs('crew.notify'))} of 1000 follow-up jobs"
    )
    faults = [
        fault
        for fault in report.faults
        if not any(said.fullmatch(fault) for said in SPOKEN_OF_BY_THE_LOST)
    ]
    assert faults == []
    assert set(report.states) == {"completed"}
