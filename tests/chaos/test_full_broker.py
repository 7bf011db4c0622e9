"""A Redis without memory left: it takes nothing in, and what it has taken in is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.checker import read_journal
from tests.chaos.site import Site
from tests.servers.redis import RedisMaker, RedisServer


@pytest.fixture
def small(
    make_redis: RedisMaker, tmp_path: Path, postgres_url: str
) -> Iterator[tuple[Site, RedisServer]]:
    """A site over a Redis that holds a few megabytes."""
    server = make_redis(maxmemory="6mb")
    site = Site(tmp_path, server.url(), postgres_url)
    yield site, server
    site.close()


def test_a_full_broker_refuses_honestly_and_drains(small: tuple[Site, RedisServer]) -> None:
    site, server = small
    producer = site.producer("padded:chaos.case")
    producer.ask(10_000)
    assert producer.answer() == 1, "it was never full"
    accepted, refused = len(read_journal(site.journal)), read_journal(site.refusals)
    assert accepted > 50
    assert refused
    assert not {job.id for job in site.jobs()} & set(refused)
    served = site.serve("--processes", "2", app=APP)
    served.wait_until("it is drained", lambda: site.count(State.COMPLETED) == accepted)
    producer.ask(1)
    assert producer.answer() == 1, "what is done is kept: there is no room yet"
    server.cli("CONFIG", "SET", "maxmemory", "0")
    producer.ask(10)
    producer.close()
    everything = accepted + 10
    served.wait_until("the rest is done", lambda: site.count(State.COMPLETED) == everything)
    site.stop()
    report = site.check()
    assert report.faults == []
    assert report.states == {"completed": everything}
    assert report.acknowledged == report.cases == everything
