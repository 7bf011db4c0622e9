"""What every chaos test gets: a seed that is printed and replays, and a site that cleans up."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.site import Site
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


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
    site.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_database: str) -> str:
    """The address of a migrated, empty database of the test's own."""
    return postgres_server.url(postgres_database)
