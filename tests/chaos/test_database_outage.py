"""PostgreSQL out of reach for a while: jobs wait, and no attempt is used up."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.site import Site
from tests.support.framing import POSTGRESQL
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.serve_process import Served


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[Proxy]:
    home = postgres_server.home
    with Proxy(home.port, host=home.host, dialect=POSTGRESQL) as proxy:
        yield proxy


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer, postgres_url: str) -> Iterator[Site]:
    site = Site(tmp_path, redis_server.url(), postgres_url)
    yield site
    site.close()


def serve(site: Site, server: PostgresServer, proxy: Proxy) -> Served:
    """Start workers whose way to the database leads through the proxy.

    They give up waiting for it well before their leases end.
    """
    home = server.home
    url = site.database_url.replace(f"{home.host}:{home.port}", f"127.0.0.1:{proxy.port}")
    assert str(proxy.port) in url
    served = site.serve(
        "--processes",
        "2",
        app=APP,
        database_url=url,
        lease_seconds=20,
        database_statement_timeout_seconds=1,
    )
    served.wait_until("both workers are ready", lambda: len(site.broker.workers()) == 2)
    return served


def outage(
    site: Site, served: Served, proxy: Proxy, kind: str, *, jobs: int, seconds: float = 0.0
) -> None:
    """Take the database away with jobs under way, submit more, and bring it back."""
    producer = site.producer("chaos.long_case")
    producer.ask(jobs)
    served.wait_until("cases are opened", lambda: site.count(State.COMPLETED) > 0)
    {"refuse": proxy.refuse, "black_hole": proxy.black_hole}[kind]()
    producer.ask(jobs)
    producer.close()
    served.wait_until("a job in hand met the outage", lambda: was_given_back(site))
    time.sleep(seconds)
    assert site.count(State.COMPLETED) < 2 * jobs
    proxy.pass_through()
    served.wait_until("all is done", lambda: site.count(State.COMPLETED) == 2 * jobs)
    site.stop()
    report = site.check()
    assert report.faults == []
    assert report.states == {"completed": 2 * jobs}
    assert {(job.attempt, job.give_backs, job.crashes) for job in site.jobs()} == {(1, 0, 0)}


def was_given_back(site: Site) -> bool:
    """Return whether a job has been given back, as it is where the database is not there."""
    return any(step["cause"] == "released" for job in site.jobs() for step in job.steps)


def test_a_database_out_of_reach_burns_no_attempt(
    site: Site, postgres_server: PostgresServer, proxy: Proxy
) -> None:
    served = serve(site, postgres_server, proxy)
    outage(site, served, proxy, "black_hole", jobs=100)


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["refuse", "black_hole"])
def test_a_database_out_of_reach_for_a_minute_burns_no_attempt(
    site: Site, postgres_server: PostgresServer, proxy: Proxy, chance: random.Random, kind: str
) -> None:
    served = serve(site, postgres_server, proxy)
    outage(site, served, proxy, kind, jobs=1000, seconds=60.0 + chance.uniform(0.0, 5.0))
