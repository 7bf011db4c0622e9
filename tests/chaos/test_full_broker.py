"""A Redis without memory left: it takes nothing in, and what it has taken in is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.checker import read_journal
from tests.chaos.site import Site
from tests.support.redis_server import RedisMaker, RedisServer


@pytest.fixture
def small(
    make_redis: RedisMaker, tmp_path: Path, postgres_url: str
) -> Iterator[tuple[Site, RedisServer]]:
    """A site over a Redis that holds a few megabytes."""
    server = make_redis(maxmemory="6mb")
    site = Site(tmp_path, server.url(), postgres_url)
    yield site, server
    site.close()


def capacity_of(server: RedisServer) -> float:
    """Which part of the memory is free, as Redis counts it."""
    memory = server.info("memory")
    used = memory["used_memory"] - memory["mem_not_counted_for_evict"]
    return float(1 - used / memory["maxmemory"])


def completed(site: Site) -> set[str]:
    """The jobs that have completed, in the broker or moved to the archive."""
    archived = site.database.rows("SELECT job_id FROM archive WHERE state = 'completed'")
    kept = {job.id for job in site.jobs() if job.state is State.COMPLETED}
    return kept | {job_id for (job_id,) in archived}


@pytest.mark.interop  # it waits for a minute
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
    served.wait_until("it is drained", lambda: len(completed(site)) == accepted)
    served.wait_until("what is done makes room", lambda: capacity_of(server) > 0.2, seconds=120)
    producer.ask(10)
    producer.close()
    everything = accepted + 10
    served.wait_until("the rest is done", lambda: len(completed(site)) == everything)
    site.stop()
    acknowledged = read_journal(site.journal)
    assert len(acknowledged) == everything
    assert completed(site) == set(acknowledged)
    assert {job.state for job in site.jobs()} <= {State.COMPLETED}
    cases = [job_id for (job_id,) in site.database.rows("SELECT job_id FROM cases")]
    assert sorted(cases) == sorted(acknowledged)
