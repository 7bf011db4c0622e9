"""What every chaos test gets: a seed that is printed and replays, and a site that cleans up."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.chaos.site import Site
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test failed, so that its site can say what it left."""
    report = yield
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    return report


@pytest.fixture
def chance() -> random.Random:
    """Randomness under a seed; HMS_SVC_TEST_SEED replays a run."""
    seed = int(os.environ.get("HMS_SVC_TEST_SEED") or random.SystemRandom().randrange(10**6))
    print(f"HMS_SVC_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """The site of a test: on embedded files, unless it asks for another pair, see `pairs.py`."""
    broker_url, database_url = "", ""
    pair = getattr(request, "param", "sqlite")
    if pair.startswith("redis"):
        server: RedisServer = request.getfixturevalue("redis_server")
        broker_url = server.url()
    if pair.endswith("postgresql"):
        database_url = request.getfixturevalue("postgres_url")
    site = Site(tmp_path, broker_url, database_url)
    yield site
    if request.node.stash.get(FAILED, False):
        print(site.remains())
    site.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_database: str) -> str:
    """The address of a migrated, empty database of the test's own."""
    return postgres_server.url(postgres_database)
